"""Handwritten digits, 8 x 8, from scikit-learn: a teacher that saw 897 of them, a student of a thirtieth of its size that sees 100."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core import seal
from understudy.core.errors import Sealed
from understudy.core.seeds import stream
from understudy.core.world import Player, recast, sgd
from understudy.parts.schedule import cosine
from understudy.worlds.rows import Rows, trained


@dataclass(frozen=True)
class Part:
    x: Tensor
    y: Tensor


class Splits:
    """train 100 rows, valid 300, test 600; the teacher learns from `pool`, 897 rows of which 100 are the student's."""

    def __init__(self, dtype: torch.dtype) -> None:
        from sklearn.datasets import load_digits

        digits = load_digits()
        x = torch.as_tensor(digits.data, dtype=dtype).view(-1, 1, 8, 8) / 8 - 1
        y = torch.as_tensor(digits.target)
        with stream("digits"):
            mixed = torch.randperm(len(y))
        within = torch.stack([(y[mixed] == c).long().cumsum(0) for c in range(10)])[y[mixed], torch.arange(len(y))]
        mixed = mixed[within.argsort(stable=True)]  # one of each class in turn, so that every part has all classes alike
        self.pool, self.train, self.valid, self._test = (
            Part(x[i], y[i]) for i in (mixed[:897], mixed[:100], mixed[897:1197], mixed[1197:])
        )

    @property
    def test(self) -> Part:
        seal.check("the test split of digits")
        return self._test


@functools.cache
def splits(dtype: torch.dtype) -> Splits:
    return Splits(dtype)


class Net(nn.Module):
    """Two convolutional stages, an embedding, a head; [N, 1, 8, 8] -> [N, classes]. norm=False leaves batch normalisation out."""

    def __init__(self, c1: int, c2: int, hidden: int, classes: int = 10, norm: bool = True) -> None:
        super().__init__()
        after = nn.BatchNorm2d if norm else lambda c: nn.GroupNorm(1, c)
        self.stage1 = nn.Sequential(nn.Conv2d(1, c1, 3, padding=1, bias=False), after(c1), nn.ReLU())
        self.stage2 = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(c1, c2, 3, padding=1, bias=False), after(c2), nn.ReLU())
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.embed = nn.Sequential(nn.Flatten(), nn.Linear(4 * c2, hidden), nn.ReLU())
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.embed(self.pool(self.stage2(self.stage1(x)))))
        return out


class Few:
    """The first rows of a data set. A small world is for checks, so its test split stays shut at all times, not only in fit."""

    def __init__(self, data: Any, rows: int = 64) -> None:
        self.train, self.valid = (Part(p.x[:rows], p.y[:rows]) for p in (data.train, data.valid))

    @property
    def test(self) -> Part:
        raise Sealed("the test split of a small world was read")


def digits(
    seed: int = 0, *, ready: bool = False, small: bool = False, norm: bool = True, classes: int = 10, **changes: Any
) -> Rows:
    """The world; `ready` trains its teacher (a few seconds, once a process and seed). classes=2 asks odd or even."""
    data = splits(torch.get_default_dtype())
    if classes == 2:
        data = _parity(data)
    world = Rows(
        seed=seed, steps=300, data=data, batch=32, new_student=lambda: Net(4, 8, 16, classes, norm),
        player=Player(sgd(0.05, 0.9, 5e-4), cosine(300)),
    )  # fmt: skip
    if ready:
        world.given_teacher = _teacher(seed, norm, classes, torch.get_default_dtype())
    else:
        with stream(seed, "teacher"):
            world.given_teacher = Net(32, 64, 64, classes, norm)
    if small:
        world = recast(world, data=Few(data), size=64, batch=8, steps=24)
    vars(world).update(changes)
    return world


def digits_parity(seed: int = 0, *, ready: bool = False, small: bool = False, **changes: Any) -> Rows:
    """Two classes."""
    return digits(seed, ready=ready, small=small, classes=2, **changes)


def _parity(data: Splits) -> Splits:
    new = object.__new__(Splits)
    for name, part in vars(data).items():
        setattr(new, name, Part(part.x, part.y % 2))
    return new


@functools.cache
def _teacher(seed: int, norm: bool, classes: int, _dtype: torch.dtype) -> nn.Module:
    world = digits(seed, norm=norm, classes=classes)
    pool = object.__new__(Splits)
    pool.train, pool.valid = world.data.pool, world.data.valid
    assert world.given_teacher is not None
    return trained(world, world.given_teacher, 840, seed, data=pool, player=Player(sgd(0.05, 0.9, 5e-4), cosine(840)))
