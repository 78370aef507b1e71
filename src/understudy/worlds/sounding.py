"""Several digits in a picture and the sound of one of them, which is to be found; few pictures say where it is."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from understudy.core.batch import Batch, each
from understudy.core.seeds import stream
from understudy.core.world import Player, recast
from understudy.parts.audio import LogMel
from understudy.parts.relation import unit
from understudy.parts.schedule import cosine
from understudy.tasks import task
from understudy.worlds._recordings import RATE, recordings
from understudy.worlds._scarce import FewLabels, Scarce
from understudy.worlds.digits import Part, splits
from understudy.worlds.rows import answers

SIDE, DIGIT, KINDS, SHOWN = 24, 8, 5, 3  # pixels; digits 0 to 4, of which so many are in a picture
KNOWN, TRAIN, VALID, TEST = 40, 800, 200, 400
LEARNED = 200  # updates of encoders
TAKES, LENGTH, SPOKEN = 30, 2048, 4000  # of each tone; samples of a tone, of a recording
MELS, WINDOW, LOUD = 24, 512, 60.0  # bands; samples of a frame; decibels below a sound's loudest place are silence


@dataclass(frozen=True)
class Scenes:
    """x: {seen [N, 1, 24, 24], heard [N, frames, 24]}; y [N, 24, 24]: 1 in the box of what sounds, -1 is hidden"""

    x: dict[str, Tensor]
    y: Tensor


class Located(Scarce):
    """`Scarce` scenes."""

    def __init__(self, known: int, train: Scenes, valid: Scenes, test: Scenes | None) -> None:
        self.known, self.valid, self._test = known, valid, test  # type: ignore[assignment]
        self.train = Scenes(train.x, task("segment").hide(train.y, slice(known, None)))  # type: ignore[assignment]


class Locator(nn.Module):
    """How alike each place of a picture is to a sound, by the cosine of two vectors; {seen, heard} -> [N, 2, H, W] logits, the
    first of which are 0. look: [N, 1, H, W] -> [N, dims, H/2, W/2]; listen: [N, mels, frames] -> [N, dims]."""

    def __init__(self, c: int, dims: int, other: bool = False) -> None:
        super().__init__()
        if other:
            self.look = nn.Sequential(_layer(1, c, 5, 2), _layer(c, 2 * c, 5, 1, 2), nn.Conv2d(2 * c, dims, 1))
            self.listen = nn.Sequential(nn.AdaptiveAvgPool1d(3), nn.Flatten(), nn.Linear(3 * MELS, 4 * c), nn.ReLU(),
                                        nn.Linear(4 * c, dims))  # fmt: skip
        else:
            self.look = nn.Sequential(
                _layer(1, c, 3, 2), _layer(c, 2 * c, 3), _layer(2 * c, 2 * c, 3, 1, 3), nn.Conv2d(2 * c, dims, 1)
            )
            self.listen = nn.Sequential(nn.Conv1d(MELS, 4 * c, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
                                        nn.Linear(4 * c, dims))  # fmt: skip
        self.scale, self.bias = nn.Parameter(torch.tensor(10.0)), nn.Parameter(torch.tensor(-3.0))

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        places, sound = self.look(x["seen"]), self.listen(x["heard"].mT)
        alike = torch.einsum("ndhw,nd->nhw", F.normalize(places, dim=1), unit(sound))
        there = F.interpolate((self.scale * alike + self.bias)[:, None], x["seen"].shape[-2:], mode="bilinear")
        return torch.cat([torch.zeros_like(there), there], 1)


def _layer(a: int, b: int, k: int, stride: int = 1, apart: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(a, b, k, stride, apart * (k // 2), apart, bias=False), nn.GroupNorm(2, b), nn.ReLU())


@dataclass
class Sounding(FewLabels):
    """new_peer: makes a network of another make for the same, at every call. What a network is worth: the share of scenes in
    which its map and the box overlap by half (intersection over union)."""

    new_peer: Callable[[], nn.Module] = field(default=nn.Identity)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.metric = "found"

    def peer(self) -> nn.Module:
        return self.new_peer()

    def validate(self, artefact: nn.Module | Batch) -> float:
        return self.found(artefact, self.data.valid)

    def score(self, artefact: nn.Module | Batch) -> float:
        return self.found(artefact, self.data.test)

    def found(self, made: nn.Module | Batch, split: Scenes) -> float:
        assert isinstance(made, nn.Module), "a network is asked for, not a data set"
        said, box = answers(made, split.x).argmax(1).bool(), split.y.bool()
        overlap = (said & box).sum((1, 2)) / (said | box).sum((1, 2))
        return (overlap >= 0.5).double().mean().item()

    def _taken(self, pick: Tensor) -> Batch:
        part = self.data.train
        return Batch(x=each(part.x, lambda t: t[pick]), y=part.y[pick], row=pick)


def sounding(
    seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any
) -> Sounding:
    """800 pictures of 24 x 24, each of three of scikit-learn's digits 0 to 4, all different, with the sound of one; of 40 it is
    known which 8 x 8 pixels those are, and they are a third of a batch. Light, contrast and noise differ from picture to
    picture. A convolutional network of 20,000 weights that compares places with the sound, and one of another make.

    Each digit has a tone, generated: 300 hertz and 180 more for each, out of tune by 3 %, with two overtones, in noise. Those of
    training, validation and test rows are other takes, and so are the written digits.

    ready: the encoders begin, up to their last layers, as what has learned which digit is where in other scenes of the same
    training digits, and which one is heard; nobody told them which picture belongs to which sound. They stand in for encoders
    from large data.

    path: a folder of recordings of spoken digits instead (see `utterances`), half a second of each; takes 0 to 4 for the test,
    every fifth of the others for validation."""
    where = None if path is None else str(path)
    data = _data(seed, where, small, torch.get_default_dtype())
    steps, width, dims = (24, 2, 4) if small else (160, 16, 16)

    def new(other: bool = False) -> Locator:
        net = Locator(width, dims, other)
        if ready:
            for name, encoder in _encoders(width, where, other, torch.get_default_dtype()).items():
                getattr(net, name)[:-1].load_state_dict(encoder.state_dict())
        return net

    world = Sounding(
        seed=seed, task="segment", data=data, batch=8 if small else 24, steps=steps, portion=1 / 3,
        new_student=new, new_peer=lambda: new(other=True),
        player=Player(functools.partial(torch.optim.Adam, lr=6e-3), cosine(steps)),
    )  # fmt: skip
    return recast(world, **changes)


@functools.lru_cache(maxsize=6)
def _data(seed: int, path: str | None, small: bool, dtype: torch.dtype) -> Located:
    written, sounds = splits(dtype), _heard(path, dtype)
    many = {"train": 32, "valid": 16} if small else {"train": TRAIN, "valid": VALID, "test": TEST}
    digits = {"train": written.pool, "valid": written.valid, "test": written._test}
    made = {}
    for name, n in many.items():
        with stream(seed, "sounding", name):
            made[name], _ = _scenes(digits[name], *sounds[name], n, dtype)
    return Located(8 if small else KNOWN, made["train"], made["valid"], made.get("test"))


def _scenes(digits: Part, heard: Tensor, said: Tensor, n: int, dtype: torch.dtype) -> tuple[Scenes, Tensor]:
    """And which digit each pixel is of, [N, 24, 24], 0 for none and else one more than its value"""
    which = torch.rand(n, KINDS).argsort(1)[:, :SHOWN]

    def pick(of: Tensor, k: Tensor) -> Tensor:
        """Any row of that digit"""
        return (torch.rand(n, len(of)) * (of == k[:, None])).argmax(1)

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, 1, 1, dtype=dtype)

    quarter = torch.rand(n, 4).argsort(1)[:, :SHOWN]
    room = SIDE // 2 - DIGIT + 1
    top, left = (SIDE // 2 * at + torch.randint(room, at.shape) for at in (quarter // 2, quarter % 2))
    ink, digit = torch.zeros(n, SIDE, SIDE, dtype=dtype), torch.zeros(n, SIDE, SIDE, dtype=torch.long)
    for k in range(SHOWN):
        shape = (digits.x[pick(digits.y, which[:, k])][:, 0] + 1) / 2
        for i, (a, b) in enumerate(zip(top[:, k].tolist(), left[:, k].tolist(), strict=True)):
            ink[i, a : a + DIGIT, b : b + DIGIT] = shape[i]
            digit[i, a : a + DIGIT, b : b + DIGIT] = 1 + which[i, k]
    y = (digit == 1 + which[:, :1, None]).long()
    x = between(0.6, 1.4) * ink + between(-0.3, 0.3) + between(0.1, 0.25) * torch.randn(n, SIDE, SIDE, dtype=dtype)
    return Scenes({"seen": (x[:, None] - 0.2) / 0.4, "heard": heard[pick(said, which[:, 0])]}, y), digit


@functools.lru_cache(maxsize=4)
def _encoders(c: int, path: str | None, other: bool, dtype: torch.dtype) -> dict[str, nn.Module]:
    """look and listen without their last layers. Of other scenes one has learned which digit is where, one which is heard."""
    with stream("encoders", int(other)):
        net = Locator(c, 1, other).to(dtype)
        look, listen = net.look[:-1], net.listen[:-1]
        tags, name = nn.Conv2d(2 * c, KINDS + 1, 1).to(dtype), nn.Linear(4 * c, KINDS).to(dtype)
        scenes, digit = _scenes(splits(dtype).pool, *_heard(path, dtype)["train"], 2 * TRAIN, dtype)
        optimiser = torch.optim.Adam([p for m in (look, listen, tags, name) for p in m.parameters()], lr=6e-3)
        for _ in range(LEARNED):
            pick = torch.randint(len(digit), (32,))
            seen, heard = tags(look(scenes.x["seen"][pick])), name(listen(scenes.x["heard"][pick].mT))
            sounds = (digit[pick] * scenes.y[pick]).amax((1, 2)) - 1
            loss = F.cross_entropy(seen, digit[pick, ::2, ::2]) + F.cross_entropy(heard, sounds)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return {"look": look, "listen": listen}


@functools.lru_cache(maxsize=3)
def _heard(path: str | None, dtype: torch.dtype) -> dict[str, tuple[Tensor, Tensor]]:
    """Log-mel frames [N, frames, MELS] around 0 and digits [N], for each split"""
    if path is None:
        x, y, take = _tones()
    else:
        found = recordings(path)
        x, y, take = found.cut(SPOKEN, torch.float), found.digit, found.take
    seen = torch.cat([LogMel(RATE, WINDOW, MELS).float()(part) for part in x.split(256)])
    seen = torch.maximum(seen, seen.amax((1, 2), keepdim=True) - LOUD)
    test, valid = take < 5, (take >= 5) & (take % 5 == 0)
    rows = {"train": ~test & ~valid, "valid": valid, "test": test}
    learned = seen[rows["train"]].flatten(0, 1)
    seen = ((seen - learned.mean(0)) / learned.std(0)).to(dtype)
    return {name: (seen[which], y[which]) for name, which in rows.items()}


def _tones() -> tuple[Tensor, Tensor, Tensor]:
    """-> waveforms [10 TAKES, LENGTH], digits, takes"""
    row = torch.arange(10 * TAKES)
    y, take = row % 10, row // 10
    with stream("tones"):
        pitch = (300 + 180 * y) * (1 + 0.03 * torch.randn(len(y)))
        turns = pitch[:, None] * torch.arange(LENGTH) / RATE + torch.rand(len(y), 1)
        over = 0.6 * torch.rand(2, len(y), 1)
        waves = [loud * (2 * torch.pi * (k + 1) * turns).sin() for k, loud in enumerate((torch.ones(len(y), 1), *over))]
        x = torch.stack(waves).sum(0) + torch.rand(len(y), 1) * torch.randn(len(y), LENGTH)
    return x, y, take
