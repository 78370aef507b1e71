"""A digit that is written, spoken and remarked upon, of which parts are missing: three kinds of tokens for one answer."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core.seeds import stream
from understudy.core.world import Player, recast
from understudy.models.tiny import TransformerBlock
from understudy.parts.audio import LogMel
from understudy.parts.confounded import without
from understudy.parts.schedule import cosine
from understudy.worlds._recordings import RATE, recordings
from understudy.worlds._sealed import Splits
from understudy.worlds.digits import splits
from understudy.worlds.rows import Rows
from understudy.worlds.utterances import FEW, LENGTH, LOUD, spoken

OWN, CUES, FILLERS, LONG = 4, 5, 6, 6  # words for each digit, cues, words that mean nothing; words in a remark
UNKNOWN = 10 * OWN + CUES + FILLERS  # a word that is missing
BLANK, VOCABULARY = UNKNOWN + 1, UNKNOWN + 2
TOLD, LED = 0.6, 0.9  # how often a digit's words are its own; how often a cue is that of the digit, where it leads
RATES = (0.0, 0.3, 0.6, 0.9)  # of tokens that are missing when judged
NOISE = 1.0  # of pixels, whose values are in [-1, 1]
MELS, WINDOW, TAKES = 24, 512, 15


@dataclass(frozen=True)
class Part:
    x: dict[str, Tensor]
    y: Tensor


@dataclass
class Senses(Rows):
    """Rows {text [N, 6] of word numbers, audio [N, 14, 24], vision [N, 8, 8]}; two numbers are no words."""

    words: int = VOCABULARY
    unknown: int = UNKNOWN  # stands where a word is missing
    blank: int = BLANK  # and where one was taken out


class Pooled(nn.Module):
    """The mean of tokens by learned weights; [N, L, width] -> [N, width]"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.loud = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1))

    def forward(self, h: Tensor) -> Tensor:
        out: Tensor = (self.loud(h).softmax(1) * h).sum(1)
        return out


class Around(nn.Module):
    """Two layers around a shortcut; [N, D] -> [N, D]"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.body(x)
        return out


class Fusion(nn.Module):
    """A transformer over the tokens of all three kinds, each of which is pooled by itself; {text, audio, vision} -> [N, 10].
    `norm` are the tokens at the end, `rep` [N, 3 width] what the head reads."""

    def __init__(self, width: int, frames: int, mels: int = MELS, depth: int = 2) -> None:
        super().__init__()
        self.embed = nn.ModuleDict({"text": nn.Embedding(VOCABULARY, width), "audio": nn.Linear(mels, width),
                                    "vision": nn.Linear(8, width)})  # fmt: skip
        self.place = nn.Parameter(0.1 * torch.randn(LONG + frames + 8, width))
        self.blocks = nn.ModuleList(TransformerBlock(width, 4) for _ in range(depth))
        self.norm, self.pool = nn.LayerNorm(width), nn.ModuleDict({name: Pooled(width) for name in self.embed})
        self.rep, self.head = Around(3 * width), nn.Linear(3 * width, 10)

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        tokens = [self.embed[name](x[name]) for name in self.embed]
        h = torch.cat(tokens, 1) + self.place
        for block in self.blocks:
            h = block(h)
        apart = self.norm(h).split([t.shape[1] for t in tokens], 1)
        out: Tensor = self.head(self.rep(torch.cat([pool(t) for pool, t in zip(self.pool.values(), apart, strict=True)], 1)))
        return out


def senses(seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any) -> Senses:
    """Scikit-learn's digits in noise, row by row of pixels; a digit of the same class spoken, as log-mel frames; and a remark of
    six words. To learn from: 570 rows or so, of which class 9 has less than a third of class 0's; 300 for validation, 600 for the test.
    A transformer of 26,000 weights, 240 updates of 32 rows.

    Nobody remarked upon these digits: remarks are generated. Two words are of the digit's own four in 60 % of the cases, and of
    any digit's otherwise; one is a cue, of which there are five, one for two digits; three mean nothing. In training the cue is
    that of the digit in 90 % of the rows. In every second row of validation and test it is drawn blindly; and of each four rows
    there one is whole, and the tokens of the others are missing with chances of 0.3, 0.6 and 0.9.

    Speech is generated as in `utterances`, or read from a folder of recordings at `path`: takes 0 to 4 for the test, every fifth
    of the others for validation."""
    data = _data(seed, None if path is None else str(path), small, torch.get_default_dtype())
    frames, steps = data.train.x["audio"].shape[1], 24 if small else 240
    world = Senses(
        seed=seed, data=data, batch=8 if small else 32, steps=steps,
        new_student=functools.partial(Fusion, 8 if small else 24, frames),
        player=Player(functools.partial(torch.optim.AdamW, lr=3e-3), cosine(steps, steps // 10), clip=1.0),
    )  # fmt: skip
    return recast(world, **changes)


def remarks(y: Tensor, leads: Tensor) -> Tensor:
    """Six words for each digit; leads [N]: where the cue follows the digit; [N] -> [N, LONG]"""
    n = len(y)
    about = torch.where(torch.rand(n, 2) < TOLD, y[:, None], torch.randint(10, (n, 2)))
    own = about * OWN + torch.randint(OWN, (n, 2))
    cue = torch.where(leads & (torch.rand(n) < LED), y // 2, torch.randint(CUES, (n,)))
    words = torch.cat([own, 10 * OWN + cue[:, None], 10 * OWN + CUES + torch.randint(FILLERS, (n, LONG - 3))], 1)
    return words.gather(1, torch.rand(n, LONG).argsort(1))


@functools.lru_cache(maxsize=8)
def _data(seed: int, path: str | None, small: bool, dtype: torch.dtype) -> Splits:
    seen, heard = splits(dtype), _heard(path, FEW if small else TAKES, dtype)
    made = {}
    for name, part in (("train", seen.pool), ("valid", seen.valid), ("test", seen._test)):
        sounds, digits = heard[name]
        with stream(seed, "senses", name):
            kept = torch.rand(len(part.y)) < 1 - part.y / 12 if name == "train" else torch.ones_like(part.y, dtype=torch.bool)
            if small:
                kept &= torch.arange(len(part.y)) < 96
            y, row = part.y[kept], torch.arange(int(kept.sum()))
            mine = (torch.rand(len(y), len(digits)) * (digits == y[:, None])).argmax(1)  # any one of the same digit
            vision = part.x[kept][:, 0] + NOISE * torch.randn(len(y), 8, 8)
            leads = (row % 2 == 0) | (name == "train")
            x = {"text": remarks(y, leads), "audio": sounds[mine], "vision": vision.to(dtype)}
            if name != "train":
                rate = torch.tensor(RATES)[row // 2 % len(RATES)]
                x = without(x, {k: torch.rand(t.shape[:2]) < rate[:, None] for k, t in x.items()}, UNKNOWN)
            made[name] = Part(x, y)
    return Splits(made["train"], made["valid"], None if small else made["test"])


@functools.lru_cache(maxsize=3)
def _heard(path: str | None, takes: int, dtype: torch.dtype) -> dict[str, tuple[Tensor, Tensor]]:
    """Log-mel frames [N, frames, MELS] around 0 and digits [N], for each split; a small world has the same for all."""
    if path is None:
        x, y, take = spoken(takes)
    else:
        found = recordings(path)
        x, y, take = found.cut(LENGTH, torch.float), found.digit, found.take
    seen = torch.cat([LogMel(RATE, WINDOW, MELS).float()(part) for part in x.split(256)])
    seen = torch.maximum(seen, seen.amax((1, 2), keepdim=True) - LOUD)
    test, valid = take < 5, (take >= 5) & (take % 5 == 0)
    rows = {"train": ~test & ~valid, "valid": valid, "test": test}
    if takes == FEW:
        rows = dict.fromkeys(rows, take >= 0)
    learned = seen[rows["train"]]
    seen = ((seen - learned.mean()) / learned.std()).to(dtype)
    return {name: (seen[which], y[which]) for name, which in rows.items()}
