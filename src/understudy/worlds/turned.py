"""Digits turned and faded in ten ways: six domains with labels, and others that are met without."""

from __future__ import annotations

import copy
import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from understudy.core import seal
from understudy.core.batch import Batch
from understudy.core.errors import Sealed
from understudy.core.seeds import stream
from understudy.core.world import Player, recast, sgd
from understudy.parts.schedule import cosine
from understudy.tasks import task
from understudy.worlds._pictures import pictures
from understudy.worlds.digits import Net
from understudy.worlds.rows import Rows, answers, trained

SOURCE = ((-60, 1.0), (-40, 0.5), (-20, 1.0), (20, 0.5), (40, 1.0), (60, 0.5))  # degrees, contrast
UNSEEN = {"valid": ((-80, 0.7), (-5, 0.3)), "_test": ((80, 0.7), (5, 0.3))}  # one further out, one between the sources, fainter


def turned(x: Tensor, degrees: float, contrast: float) -> Tensor:
    """Pictures in [-1, 1] turned about their middle, -1 around them, their ink as faint as that; [N, C, H, W] -> [N, C, H, W]"""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    way = torch.tensor([[cos, -sin, 0], [sin, cos, 0]], dtype=x.dtype).expand(len(x), 2, 3)
    ink = F.grid_sample((x + 1) / 2, F.affine_grid(way, list(x.shape), align_corners=False), align_corners=False)
    return 2 * contrast * ink - 1


@dataclass(frozen=True)
class Part:
    x: Tensor
    y: Tensor
    domain: Tensor


class Domains:
    """Each picture is in one domain; the test split is sealed while anything learns, of few rows at all times."""

    def __init__(self, path: str | None, dtype: torch.dtype, few: bool) -> None:
        found = pictures(path, 6000, dtype)
        dealt = {"train": (found.train, SOURCE), "valid": (found.valid, UNSEEN["valid"]), "_test": (found._test, UNSEEN["_test"])}
        parts = {}
        for name, (part, ways) in dealt.items():
            n = 72 if few else len(part.y)
            domain = torch.arange(n) // 12 % len(ways) if few else torch.arange(n) * len(ways) // n
            x = torch.cat([turned(part.x[:n][domain == k], *way) for k, way in enumerate(ways)])
            parts[name] = Part(x, torch.cat([part.y[:n][domain == k] for k in range(len(ways))]), domain.sort().values)
        self.train, self.valid, self._test, self._few = parts["train"], parts["valid"], parts["_test"], few

    @property
    def test(self) -> Part:
        seal.check("the test split of turned digits")
        if self._few:
            raise Sealed("the test split of a small world was read")
        return self._test


class Panel(nn.Module):
    """What several networks read off a row just before they name its class; [N, ...] -> [N, K, D]"""

    def __init__(self, nets: list[Net]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([net.embed(net.pool(net.stage2(net.stage1(x)))) for net in self._each()], 1)

    def _each(self) -> list[Any]:
        return list(self.nets)


@dataclass
class Turned(Rows):
    """`rows(step)` are labelled rows of one source domain, another at each step, with its number `domain` [N]; `rows(step,
    'support')` other rows of the same domain, without labels. Scored by the mean accuracy over domains that are no source, of
    which a network is shown `batch` rows at a time, all of one domain."""

    def rows(self, step: int, split: str = "train") -> Batch:
        if split not in ("train", "support"):
            return super().rows(step, split)
        part = self.data.train
        with stream(self.seed, step, "episode"):
            own = (part.domain == torch.randint(int(part.domain.max()) + 1, ())).nonzero()[:, 0]
            mixed = own[torch.randperm(len(own))]
        side = self.rank + (self.ranks if split == "support" else 0)
        pick = mixed[(side * self.batch + torch.arange(self.batch)) % len(mixed)]
        y = part.y[pick] if split == "train" else torch.full_like(pick, -1)
        return Batch(x=part.x[pick], y=y, domain=part.domain[pick], row=pick)

    def measure(self, made: Any, split: Any) -> dict[str, float]:
        """The metrics of each unseen domain, their mean."""
        own = [split.domain == k for k in split.domain.unique()]
        marks = [task(self.task).metrics(answers(made, split.x[k], size=self.batch), split.y[k]) for k in own]
        return {name: sum(m[name] for m in marks) / len(marks) for name in marks[0]}


def turned_digits(
    seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any
) -> Turned:
    """The world. Real digits, each in one domain: turned by so many degrees, its ink so faint. Six domains are labelled, 149
    digits each; two others are for validation and two for the test, of which one is turned further than any source and one lies between
    them and is fainter. Networks normalise row by row, so that what adapts is what has learned to.

    teacher: one expert a source domain, [N, ...] -> [N, K, D], what they read off a row. ready: experts have learned their own
    domain, and the student all of them; all begin at the same weights, which
    have learned from all of them for a while. path: a folder of MNIST's files.
    """
    data = _data(None if path is None else str(path), small, torch.get_default_dtype())
    net = functools.partial(Net, 4, 8, 16, norm=False) if small else functools.partial(Net, 6, 12, 24, norm=False)
    world = Turned(
        seed=seed, steps=200, batch=25, data=data, new_student=net,
        player=Player(functools.partial(torch.optim.Adam, lr=3e-3), cosine(200)),
    )  # fmt: skip
    if ready and not small:
        begun, world.given_teacher = _schooled(seed, None if path is None else str(path), torch.get_default_dtype())
        world.new_student = lambda: copy.deepcopy(begun)
    else:
        with stream(seed, "teacher"):
            world.given_teacher = Panel([net() for _ in SOURCE])
    if small:
        world = recast(world, batch=8, steps=24)
    vars(world).update(changes)
    return world


@functools.cache
def _data(path: str | None, small: bool, dtype: torch.dtype) -> Domains:
    return Domains(path, dtype, small)


@functools.cache
def _schooled(seed: int, path: str | None, _dtype: torch.dtype) -> tuple[nn.Module, nn.Module]:
    """A student of all source domains, and an expert of each; what they begin with has learned from all of them for a while."""
    data = _data(path, False, torch.get_default_dtype())

    def learned(net: nn.Module, rows: Any, steps: int) -> Any:
        own = Batch(train=Part(data.train.x[rows], data.train.y[rows], data.train.domain[rows]), valid=data.valid)
        how = Player(sgd(0.1, 0.9, 5e-4), cosine(steps))
        return trained(Rows(seed=seed, data=own, batch=32, player=how), net, steps, seed)

    with stream(seed, "student"):
        begun = learned(Net(6, 12, 24, norm=False), slice(None), 200)
    return learned(begun, slice(None), 300), Panel([learned(begun, data.train.domain == k, 60) for k in range(len(SOURCE))])
