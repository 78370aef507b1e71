"""Handwritten digits before an event camera, without labels; a network that knows them from pictures."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from understudy.core.seeds import stream
from understudy.core.world import Player, recast
from understudy.parts.augment import moved
from understudy.parts.events import events, stacked, voxels
from understudy.parts.schedule import cosine
from understudy.worlds._scarce import Scarce
from understudy.worlds.digits import Net, Part, splits
from understudy.worlds.rows import Rows, trained

SIDE, TIMES, THRESHOLD = 12, 6, 0.4
TRAIN, VALID, TEST = 600, 200, 400


class Readers(nn.Module):
    """Two networks, of stack images and of voxel grids; [N, 2, T, H, W] -> [2, N, 10]"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stack, self.grid = (_net(width, channels, True) for channels in (2, TIMES))

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.stack(stacked(x)), self.grid(voxels(x))])


def _net(width: int, channels: int = 1, norm: bool = False) -> Net:
    net = Net(width, 2 * width, 4 * width, norm=norm)
    net.stage1[0] = nn.Conv2d(channels, width, 3, padding=1, bias=False)
    return net


@dataclass
class Saccades(Rows):
    """Rows are event streams, their labels hidden. The student answers from each of its representations; scored is a network that
    answers once, [N, 2, T, H, W] -> [N, 10]."""


def saccades(seed: int = 0, *, ready: bool = False, small: bool = False, **changes: Any) -> Saccades:
    """The world. A real digit (scikit-learn's) comes into a field of 12 x 12 from one of its sides and moves about the middle, in 6
    times; events are made from its log light by the usual model, with a few false ones. 600 streams without labels, 200 for validation,
    400 for the test, of different writings. teacher: a classifier of still digits about the middle of the field; ready: it has
    learned, from 897 of them. It never sees an event, nor the student a picture or a label."""
    data, width = _made(torch.get_default_dtype()), 4 if small else 6
    world = Saccades(
        seed=seed, data=data, batch=32, steps=200, new_student=lambda: Readers(width),
        player=Player(functools.partial(torch.optim.Adam, lr=1e-2), cosine(200)),
    )  # fmt: skip
    if ready and not small:
        world.given_teacher = _teacher(seed, torch.get_default_dtype())
    else:
        with stream(seed, "teacher"):
            world.given_teacher = _net(width)
            world.given_teacher.head.weight.data *= 32  # sure of much, so that there is something to believe in a check
    if small:
        few = data.few("classify", 0, 64)
        world = recast(world, data=few, size=64, batch=8, steps=24)
    vars(world).update(changes)
    return world


@functools.cache
def _made(dtype: torch.dtype) -> Scarce:
    found = splits(dtype)
    with stream("saccades"):
        parts = [_filmed(part, n, dtype) for part, n in ((found.pool, TRAIN), (found.valid, VALID), (found._test, TEST))]
    return Scarce("classify", 0, *parts)


def _still(x: Tensor) -> Tensor:
    """In the middle of the field; [N, 1, 8, 8] -> [N, 1, SIDE, SIDE]"""
    return F.pad(x, [(SIDE - 8) // 2] * 4, value=-1.0)


def _about(x: Tensor) -> Tensor:
    """Up to a pixel and a half off the middle; [N, ...] -> [N, ...]"""
    return moved(x, 0.0, 0.12, 0.0)


def _filmed(digits: Part, n: int, dtype: torch.dtype) -> Part:
    pick = torch.randperm(len(digits.y))[:n]
    ink, ends = (_still(digits.x[pick]).to(dtype) + 1) / 2, 0.2 * (2 * torch.rand(3, len(pick), 2, dtype=dtype) - 1)
    side, across = torch.randint(2, (len(pick),)), torch.randint(2, (len(pick),))
    ends[0, torch.arange(len(pick)), across] = 1.7 * (2.0 * side - 1).to(dtype)  # out of the field
    way = torch.cat(
        [a + (b - a) * t for a, b in itertools.pairwise(ends) for t in torch.arange(3)[:, None, None, None] / 3] + [ends[-1:]]
    )
    film = []
    for at in way.view(TIMES + 1, len(pick), 2):
        theta = torch.cat([torch.eye(2, dtype=dtype).expand(len(pick), 2, 2), at[:, :, None]], 2)
        film.append(F.grid_sample(ink, F.affine_grid(theta, list(ink.shape), align_corners=False), align_corners=False)[:, 0])
    x = events(torch.log(torch.stack(film, 1) + 0.2), THRESHOLD)
    return Part(x + (torch.rand_like(x) < 0.01).to(dtype), digits.y[pick])


class _Stills:
    def __init__(self, dtype: torch.dtype) -> None:
        found = splits(dtype)
        with stream("saccades", "stills"):
            self.train, self.valid = (
                Part(_about(_still(p.x.repeat(3, 1, 1, 1))), p.y.repeat(3)) for p in (found.pool, found.valid)
            )


@functools.cache
def _teacher(seed: int, dtype: torch.dtype, steps: int = 500) -> nn.Module:
    with stream(seed, "teacher"):
        net = _net(12)
    how = Player(functools.partial(torch.optim.Adam, lr=1e-2), cosine(steps))
    return trained(Rows(seed=seed, data=_Stills(dtype), batch=48), net, steps, seed, player=how)
