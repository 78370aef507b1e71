"""Several spoken digits in a row, without labels: of the whole is asked which were said, and of each moment which one."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core.batch import Batch
from understudy.core.seeds import stream
from understudy.core.world import Player, recast
from understudy.parts.audio import LogMel
from understudy.parts.probe import Probe
from understudy.parts.schedule import cosine
from understudy.worlds._recordings import RATE, recordings
from understudy.worlds._unlabelled import Hidden, Unlabelled
from understudy.worlds.digits import Part
from understudy.worlds.rows import answers
from understudy.worlds.utterances import FEW, LENGTH, LOUD, SPEAKERS, spoken

SPOKEN, MELS, WINDOW = 3, 24, 512  # digits a row; bands; samples, of which half is the step from frame to frame
TAKES = 15  # of generated speech


class Listener(nn.Module):
    """A small transformer: frames as tokens behind a class token, [N, 1, mels, frames] -> [N, 1 + frames, width]"""

    def __init__(self, width: int, depth: int, mels: int, frames: int) -> None:
        super().__init__()
        self.embed = nn.Linear(mels, width)
        self.first = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.place = nn.Parameter(0.02 * torch.randn(1, 1 + frames, width))
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, depth, nn.LayerNorm(width), enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.cat([self.first.expand(len(x), -1, -1), self.embed(x[:, 0].mT)], 1)
        out: Tensor = self.blocks(h + self.place[:, : h.shape[1]])
        return out


@dataclass
class Heard(Unlabelled):
    """A world of rows [1, mels, frames] whose y [N, frames] is the digit of each frame, 10 where none is said."""

    def hard(self, out: Tensor, batch: Batch) -> Tensor:
        """Nothing: no row has a label"""
        return 0 * out.mean()

    def measure(self, made: nn.Module | Batch, split: Any) -> dict[str, float]:
        assert isinstance(made, nn.Module), "an encoder is asked for, not a data set"
        told = self.data.told
        learned, asked = (answers(made, part.x) for part in (told, split))
        whole = lambda said: torch.cat([said[:, 0], said[:, 1:].mean(1)], 1)
        frames = lambda said: said[:, 1:].flatten(0, 1)
        said = lambda y: (y[..., None] == torch.arange(10)).any(1).long()
        clip = Probe(whole(learned), said(told.y), 10).found(whole(asked), said(split.y))
        frame = Probe(frames(learned), told.y.flatten(), 11).right(frames(asked), split.y.flatten())
        return {"accuracy": (clip + frame) / 2, "clip": clip, "frame": frame}


def hearing(seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any) -> Heard:
    """Log-mel pictures [1, 24, 45] of three digits that one speaker says one after the other, without labels, standardised. A
    transformer of 19,000 weights whose tokens are frames of 64 ms, one every 32 ms; 160 updates of 32 rows.

    It is scored by two linear probes on its frozen answers, ridge regression in closed form on the training rows with their
    labels: of the whole, from its class token and the mean of its frames, which digits were said (as many answers as there are
    digits), and of each frame which one is being said, or none. The score is the mean of both shares of right answers.

    The generated digits are those of `utterances`, of six voices. path: a folder of recordings, as there. Each take is in one row;
    takes 0 to 4 of every speaker and digit make the test rows, every fifth of the others is for validation."""
    data = _data(None if path is None else str(path), FEW if small else TAKES, torch.get_default_dtype())
    steps, width, depth = (24, 8, 1) if small else (160, 32, 2)
    if small:
        part = lambda p, rows: Part(p.x[:rows, :, ::2, :15], p.y[:rows, :15])
        data = Hidden(part(data.told, 64), part(data.valid, 16))
    mels, frames = data.told.x.shape[2:]
    world = Heard(
        seed=seed, data=data, batch=8 if small else 32, steps=steps, classes=11,
        new_student=functools.partial(Listener, width, depth, mels, frames),
        player=Player(functools.partial(torch.optim.Adam, lr=2e-3), cosine(steps, steps // 10), 1.0),
    )  # fmt: skip
    return recast(world, **changes)


@functools.lru_cache(maxsize=2)
def _data(path: str | None, takes: int, dtype: torch.dtype) -> Hidden:
    wave, end, digit, take, who = _waves(path, takes)
    held = 0 if takes == FEW else 5
    test, valid = take < held, (take >= held) & (take % 5 == 0)
    with stream("hearing"):
        made = [strung(wave[pick], end[pick], digit[pick], who[pick]) for pick in (~test & ~valid, valid, test) if pick.any()]
    mean, std = made[0][0].mean(), made[0][0].std()
    return Hidden(*(Part(((x - mean) / std)[:, None].to(dtype), y) for x, y in made))


def _waves(path: str | None, takes: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Sound [N, LENGTH], where each ends, digits, takes, speakers; [N] each"""
    if path is None:
        x, digit, take = spoken(takes)
        who = torch.arange(len(x)) // 10 % SPEAKERS
        loud = x.abs().unfold(1, 200, 200).mean(2)  # noise is everywhere; the voice is where it is louder
        end = (200 * (1 + (loud > 1.3 * loud.amin(1, keepdim=True)).long() * torch.arange(20)).amax(1)).clamp(max=LENGTH)
        return x / x.std(), end, digit, take, who
    found = recordings(path)
    names = sorted(set(found.speaker))
    x = found.cut(LENGTH, torch.float)
    end = torch.tensor([min(len(w), LENGTH) for w in found.waves])
    return x, end, found.digit, found.take, torch.tensor([names.index(s) for s in found.speaker])


def strung(wave: Tensor, end: Tensor, digit: Tensor, who: Tensor) -> tuple[Tensor, Tensor]:
    """The takes of each speaker in an order drawn from torch's own stream, SPOKEN of them in a row one after the other, the rest of a
    row silent; -> log-mel [M, mels, frames], y [M, frames]: the digit at the middle of each, or 10"""
    rows, labels = [], []
    for speaker in who.unique().tolist():
        mine = (who == speaker).nonzero()[:, 0]
        for group in mine[torch.randperm(len(mine))].split(SPOKEN):
            if len(group) < SPOKEN:
                continue
            sound, said, at = torch.zeros(SPOKEN * LENGTH), torch.full((SPOKEN * LENGTH,), 10), 0
            for i in group.tolist():
                sound[at : at + int(end[i])], said[at : at + int(end[i])] = wave[i, : int(end[i])], digit[i]
                at += int(end[i])
            rows.append(sound)
            labels.append(said[WINDOW // 2 :: WINDOW // 2][: 1 + (len(sound) - WINDOW) // (WINDOW // 2)])
    seen = torch.cat([LogMel(RATE, WINDOW, MELS).float()(part) for part in torch.stack(rows).split(64)]).mT
    seen = torch.maximum(seen, seen.amax((1, 2), keepdim=True) - LOUD)
    return seen, torch.stack(labels)
