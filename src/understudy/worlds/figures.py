"""Handwritten digits for methods that see a row in several ways: a network without batch normalisation, few labelled rows."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from torch import nn

from understudy.core.seeds import stream
from understudy.core.world import Player, recast, sgd
from understudy.parts.schedule import cosine
from understudy.worlds._pictures import Pictures, pictures
from understudy.worlds.digits import Few, Net, Part
from understudy.worlds.rows import Rows, trained

ROWS = 150  # that the student learns from; the teacher has six times as many, or all of a folder's


class Drawn:
    """Pictures of which the seed picks ROWS training rows; `pool` are all of them. Validation and test rows stay as they are."""

    def __init__(self, all_: Pictures, seed: int) -> None:
        self.pool, self.valid, self._all = all_.train, all_.valid, all_
        with stream(seed, "figures"):
            rows = torch.randperm(len(all_.train.y))[:ROWS]
        self.train = Part(all_.train.x[rows], all_.train.y[rows])

    @property
    def test(self) -> Part:
        return self._all.test


class Pool:
    """What a teacher learns from, in place of the student's rows."""

    def __init__(self, data: Drawn) -> None:
        self.train, self.valid = data.pool, data.valid


def figures(seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any) -> Rows:
    """Scikit-learn's digits, of which the seed picks 150 to learn from. A convolutional student of 3,700 weights, with group
    normalisation, so that what it says of a row hangs neither on the others nor on what else it was asked about. The teacher,
    a network of 14,000 weights, is trained on 897 rows where `ready`.

    path: a folder of MNIST's or CIFAR-10's files, of which 5,000 rows are the teacher's."""
    data = Drawn(pictures(path, 6000, torch.get_default_dtype()), seed)
    channels = data.train.x.shape[1]
    world = Rows(
        seed=seed, data=data, batch=32, steps=300, new_student=functools.partial(_net, channels, 8, 16, 32),
        player=Player(sgd(0.05, 0.9, 5e-4), cosine(300)),
    )  # fmt: skip
    if small:
        world = recast(world, data=Few(data), size=64, batch=8, steps=24)
        world.new_student = functools.partial(_net, channels, 3, 4, 8)
        world.given_teacher = _made(seed, channels, 4, 8, 8)
    elif ready:
        world.given_teacher = _teacher(seed, None if path is None else str(path), torch.get_default_dtype())
    else:
        world.given_teacher = _made(seed, channels, 16, 32, 64)
    return recast(world, **changes)


def _net(channels: int, c1: int, c2: int, hidden: int) -> nn.Module:
    net = Net(c1, c2, hidden, norm=False)
    net.stage1[0] = nn.Conv2d(channels, c1, 3, padding=1, bias=False)
    return net


def _made(seed: int, channels: int, *shape: int) -> nn.Module:
    with stream(seed, "teacher"):
        return _net(channels, *shape)


@functools.lru_cache(maxsize=8)
def _teacher(seed: int, path: str | None, _dtype: torch.dtype) -> nn.Module:
    world = figures(seed, path=path)
    assert world.given_teacher is not None
    how = Player(sgd(0.05, 0.9, 5e-4), cosine(600))
    return trained(world, world.given_teacher, 600, seed, data=Pool(world.data), player=how)
