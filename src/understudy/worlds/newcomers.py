"""Five digits that a reader knows well, five of which it was shown five each; then pictures of all ten arrive, without labels."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core.seeds import stream as chance
from understudy.core.world import Player, recast, sgd
from understudy.parts.schedule import cosine
from understudy.worlds._pictures import Pictures, pictures
from understudy.worlds.digits import Few, Net, Part
from understudy.worlds.rows import Rows, trained
from understudy.worlds.stream import Stream

BASE, SHOTS = 5, 5


class Newcomers(Stream):
    """No faults: arrivals are as they are, drawn from the split that the run is scored on. `rows(step, 'source')` and `sweep` give
    the few labelled rows, five of each of the ten classes."""

    def validate(self, artefact: Any) -> float:
        return Rows.validate(self, artefact)

    def score(self, artefact: Any) -> float:
        return Rows.score(self, artefact)


def newcomers(
    seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any
) -> Newcomers:
    """The world; which five rows of each class are known hangs on the seed. `ready` trains the network on all rows of the digits 0
    to 4, then fine-tunes it on the few. path: a folder of MNIST's files, not digits."""
    data = pictures(path, 6000, torch.get_default_dtype())
    few = _shots(data.train.y, seed)
    some = Pictures(Part(data.train.x[few], data.train.y[few]), data.valid, data._test)
    world = Newcomers(
        seed=seed, steps=240, lead=10**9, batch=50, data=some, new_student=lambda: _net(data.train.x),
        player=Player(functools.partial(torch.optim.Adam, lr=1e-3)),
    )  # fmt: skip
    if ready:
        tuned = _tuned(seed, path, torch.get_default_dtype())
        world.new_student = lambda: copy.deepcopy(tuned)
    if small:
        world = recast(world, data=Few(some), size=50, batch=8, steps=24, split="valid", new_student=_sure)
    vars(world).update(changes)
    return world


def _sure() -> nn.Module:
    """A small network that nobody trained, and that is as sure of itself as if somebody had."""
    net = Net(4, 8, 16, norm=False)
    with torch.no_grad():
        net.head.weight *= 30
    return net


def _shots(y: Tensor, seed: int) -> Tensor:
    """Five rows of each class; -> [50]"""
    with chance(seed, "shots"):
        mixed = torch.randperm(len(y))
    return torch.cat([mixed[y[mixed] == c][:SHOTS] for c in range(10)])


def _net(x: Tensor) -> nn.Module:
    """Normalised row by row, so that few rows and many are seen alike."""
    net = Net(8, 16, 32, norm=False)
    net.stage1[0] = nn.Conv2d(x.shape[1], 8, 3, padding=1, bias=False)
    return net


@functools.cache
def _tuned(seed: int, path: str | Path | None, dtype: torch.dtype) -> nn.Module:
    data = pictures(path, 6000, dtype)
    base, few = data.train.y < BASE, _shots(data.train.y, seed)
    with chance(seed, "teacher"):
        net = _net(data.train.x)
    for rows, steps, rate in ((base, 400, 0.1), (few, 300, 0.1)):
        part = Pictures(Part(data.train.x[rows], data.train.y[rows]), data.valid, data._test)
        place = Rows(seed=seed, data=part, batch=50, steps=steps, player=Player(sgd(rate, 0.9, 5e-4), cosine(steps)))
        net = trained(place, net, steps, seed)
    return net
