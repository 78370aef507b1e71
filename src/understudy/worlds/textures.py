"""Generated pictures of a product, a disc to the left of a cross on striped ground, and what goes wrong with it.

Half of what is wrong is structural (a scratch, a stain, a patch of other material), half logical: every part is as it should be,
and one is missing, doubled, or in the other's place. The teacher learned to tell twelve textures apart and never saw the product.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core import seal
from understudy.core.batch import Batch
from understudy.core.errors import Sealed, refuse
from understudy.core.seeds import stream
from understudy.core.world import Player, recast
from understudy.parts.schedule import cosine
from understudy.worlds.rows import Rows, order, trained

SIDE, KINDS = 32, 12
SCRATCH, STAIN, PATCH, MISSING, DOUBLED, SWAPPED = range(1, 7)


@dataclass(frozen=True)
class Part:
    """x [N, 1, side, side]; y [N], 0 normal and 1 not; wrong [N], what is."""

    x: Tensor
    y: Tensor
    wrong: Tensor | None = None


def _grid() -> tuple[Tensor, Tensor]:
    at = torch.arange(SIDE, dtype=torch.get_default_dtype())
    down, right = torch.meshgrid(at, at, indexing="ij")
    return down, right


def _each(values: Tensor) -> Tensor:
    return values.to(torch.get_default_dtype())[:, None, None]


def _weave(kind: Tensor) -> Tensor:
    """Stripes, checks and dots, each at four angles and finenesses, in any phase; [N] in 0..11 -> [N, side, side] in [0, 1]"""
    down, right = _grid()
    angle, fine = _each(kind % 4) * math.pi / 4 + 0.1 * _each(torch.randn(len(kind))), 0.8 + 0.25 * _each(kind % 4)
    u = fine * (right * angle.cos() + down * angle.sin()) + 2 * math.pi * _each(torch.rand(len(kind)))
    v = fine * (down * angle.cos() - right * angle.sin()) + 2 * math.pi * _each(torch.rand(len(kind)))
    families = torch.stack([u.sin(), (3 * u.sin() * v.sin()).tanh(), (3 * (u.cos() + v.cos() - 0.8)).tanh()])
    return 0.5 + 0.5 * families[kind // 4, torch.arange(len(kind))]


def _disc(down: Tensor, right: Tensor) -> Tensor:
    return ((down**2 + right**2).sqrt() < 4.2).to(down)


def _cross(down: Tensor, right: Tensor) -> Tensor:
    far, near = torch.maximum(down.abs(), right.abs()), torch.minimum(down.abs(), right.abs())
    return ((far < 4.6) & (near < 1.3)).to(down)


def textures_of(kind: Tensor) -> Tensor:
    """Pictures of the twelve textures in any light; [N] -> [N, 1, side, side]"""
    light = 0.3 + 0.7 * _each(torch.rand(len(kind)))
    return (light * _weave(kind) + _each(torch.rand(len(kind))) * (1 - light) + 0.03 * torch.randn(len(kind), SIDE, SIDE))[
        :, None
    ]


def product(wrong: Tensor) -> Tensor:
    """Pictures of the product, faultless where `wrong` is 0; [N] in 0..6 -> [N, 1, side, side]"""
    n, (down, right) = len(wrong), _grid()
    drawn = lambda lo, hi: _each(lo + (hi - lo) * torch.rand(n))
    has = lambda fault: wrong == fault
    ground = 0.25 + 0.2 * _weave(torch.zeros(n, dtype=torch.long))
    first = torch.rand(n) < 0.5  # which of the two parts a logical fault happens to
    crosses = [has(SWAPPED) | has(DOUBLED) & first, ~has(SWAPPED) & ~(has(DOUBLED) & ~first)]  # left, right
    parts = torch.zeros(n, SIDE, SIDE)
    for cross, gone, place in zip(crosses, (first, ~first), ((7, 10), (21, 24)), strict=True):
        y, x = down - drawn(8, 23), right - drawn(*place)
        parts = torch.maximum(parts, torch.where(cross[:, None, None], _cross(y, x), _disc(y, x)) * _each(~(has(MISSING) & gone)))
    picture = ground + (0.85 - ground) * parts
    y, x, lean = down - drawn(6, 26), right - drawn(6, 26), math.pi * drawn(0, 1)
    along, across = y * lean.cos() + x * lean.sin(), x * lean.cos() - y * lean.sin()
    picture = picture + 0.25 * _each(has(SCRATCH)) * ((along.abs() < 4) & (across.abs() < 0.8))
    picture = picture - 0.2 * _each(has(STAIN)) * torch.exp(-(along**2) / 8 - across**2 / 4)
    other = 0.25 + 0.2 * _weave(torch.full((n,), 9))
    picture = torch.where(has(PATCH)[:, None, None] & (along.abs() < 3) & (across.abs() < 3), other, picture)
    return (picture + 0.03 * torch.randn(n, SIDE, SIDE))[:, None]


class Seen:
    """train 256 faultless rows, valid 128; judged 384 and test 768, a third each faultless, structural and logical faults.

    What is wrong with a row is in `wrong`, and no method sees it.
    """

    def __init__(self, few: bool = False) -> None:
        n = 4 if few else 128
        with stream("textures"):
            self.train, self.valid = (
                Part(product(torch.zeros(k, dtype=torch.long)), torch.zeros(k, dtype=torch.long)) for k in (2 * n, n)
            )
            self.judged, self._test = _judged(n), None if few else _judged(2 * n)

    @property
    def test(self) -> Part:
        seal.check("the test split of the textures")
        if self._test is None:
            raise Sealed("the test split of a small world was read")
        return self._test


def _judged(third: int) -> Part:
    wrong = torch.cat([torch.zeros(third, dtype=torch.long), torch.arange(2 * third) % 6 + 1])
    return Part(product(wrong), (wrong > 0).long(), wrong)


class Digits:
    """MNIST's format: one digit is normal, every other an anomaly; on a margin to the side of the product's pictures."""

    def __init__(self, path: str | Path, digit: int) -> None:
        from understudy.data import load

        found = load(f"idx:{path}")
        if not 0 <= digit < 10:
            raise refuse("digit", digit, "a whole number in [0, 9]")
        x, y = found.train.x, found.train.y
        normal, others = (y == digit).nonzero()[:, 0], (y != digit).nonzero()[:, 0]
        part = lambda rows: Part(_framed(x[rows]), (y[rows] != digit).long(), y[rows])
        self.train, self.valid = part(normal[:-512]), part(normal[-512:-256])
        self.judged = part(torch.cat([normal[-256:], others[:256]]))
        self._found, self._digit = found, digit

    @property
    def test(self) -> Part:
        seal.check("the test split of the digits")
        test = self._found.test
        return Part(_framed(test.x), (test.y != self._digit).long(), test.y)


def _framed(x: Tensor) -> Tensor:
    """[N, 1, 28, 28] in 0 .. 255 or 0 .. 1 -> [N, 1, side, side] in 0 .. 1"""
    edge = (SIDE - x.shape[-1]) // 2
    return nn.functional.pad(x.to(torch.get_default_dtype()) / (255 if x.dtype == torch.uint8 else 1), [edge] * 4)


def patch_net(channels: int, width: int = 20) -> nn.Sequential:
    """What it says of a place hangs on the 15 x 15 pixels there alone; [N, 1, 32, 32] -> [N, channels, 9, 9]"""
    return nn.Sequential(
        nn.Conv2d(1, width // 2, 4), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(width // 2, width, 3), nn.ReLU(),
        nn.Conv2d(width, width, 3), nn.ReLU(), nn.Conv2d(width, channels, 2),
    )  # fmt: skip


class Told(nn.Module):
    """A patch network with a head, for its own training; [N, 1, 32, 32] -> [N, kinds]"""

    def __init__(self, net: nn.Module, channels: int) -> None:
        super().__init__()
        self.net, self.head = net, nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, KINDS))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.net(x))
        return out


@dataclass
class Inspection(Rows):
    """Normal rows to learn from, with as many unrelated pictures beside them (`other`), which the teacher was trained on; y is 0.

    Normal validation rows are open to a method; those with faults only choose among settings, in `validate`.
    """

    others: Tensor = field(default_factory=lambda: torch.zeros(0))

    def rows(self, step: int, split: str = "train") -> Batch:
        batch = super().rows(step, split)
        pick = order(len(self.others), self.seed, step, "others")[self.rank * self.batch :][: self.batch]
        return Batch(batch | {"other": self.others[pick]})

    def validate(self, artefact: nn.Module | Batch) -> float:
        return self.measure(artefact, self.data.judged)["auroc"]


def _late_drop(step: int) -> float:
    """A tenth of the learning rate for the last twentieth of 600 steps."""
    return 1.0 if step < 570 else 0.1


def textures(
    seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, digit: int = 0, **changes: Any
) -> Inspection:
    """The world; `ready` trains its teacher. path: a folder with MNIST's four files, of which `digit` is the normal one then."""
    data = Digits(path, digit) if path else _seen(small, torch.get_default_dtype())
    channels, width = (4, 8) if small else (16, 20)
    with stream(seed, "teacher"):
        net = patch_net(channels, width)
    world = Inspection(
        seed=seed, steps=600, data=data, batch=8 if small else 16, task="anomaly", others=_pool(64 if small else 1200)[0],
        new_student=lambda: patch_net(2 * channels, width), given_teacher=net,
        player=Player(partial(torch.optim.Adam, lr=2e-3, weight_decay=1e-5), _late_drop),
    )  # fmt: skip
    if ready:
        world.given_teacher = _taught(seed, channels, width, torch.get_default_dtype())
    if small:
        world = recast(world, steps=24)
    vars(world).update(changes)
    return world


@functools.cache
def _seen(few: bool, _dtype: torch.dtype) -> Seen:
    return Seen(few)


def _pool(n: int) -> tuple[Tensor, Tensor]:
    kind = torch.arange(n) % KINDS
    with stream("pool"):
        return textures_of(kind), kind


@functools.cache
def _taught(seed: int, channels: int, width: int, _dtype: torch.dtype) -> nn.Module:
    x, y = _pool(1200)
    with stream(seed, "teacher"):
        net = Told(patch_net(channels, width), channels)

    class Pool:
        train = valid = Part(x, y)

    world = Rows(seed=seed, data=Pool(), batch=32, task="classify")
    made: Any = trained(world, net, 300, seed, player=Player(partial(torch.optim.Adam, lr=2e-3), cosine(300, 20)))
    return made.net
