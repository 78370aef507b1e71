"""Pictures of things that touch, of which few are labelled: handwritten digits, or cells parted by thin membranes."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core.seeds import stream
from understudy.core.world import Player, recast
from understudy.parts.schedule import cosine
from understudy.worlds._scarce import FewLabels, Scarce
from understudy.worlds.cells import UNet, _block, _sections
from understudy.worlds.digits import Part, splits
from understudy.worlds.rows import trained

SIDE, KINDS, CLASSES = 20, 2, 3  # zeros and ones, and the background
KNOWN, TRAIN, VALID, TEST = 32, 200, 80, 240
INK = 0.3  # of the darkest: less is background


class Pair(nn.Module):
    """Two teachers that complement each other, one deep and thin, one shallow and wide; what both say, on average;
    [N, 1, H, W] -> [N, classes, H, W]"""

    def __init__(self, c: int, classes: int) -> None:
        super().__init__()
        self.deep, self.wide = UNet(c, classes), UNet(2 * c, classes)
        self.deep.bottom.extend([_block(4 * c, 4 * c) for _ in range(4)])
        del self.wide.bottom[1]

    def forward(self, x: Tensor) -> Tensor:
        said: Tensor = (self.deep(x) + self.wide(x)) / 2
        return said


def touching(
    seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any
) -> FewLabels:
    """200 pictures of 20 x 20, 32 of them labelled, each of four handwritten digits (scikit-learn's, real zeros and ones) that
    touch; a tiny U-Net.

    A pixel is background or the ink of either; so it is the shape around that tells what ink is of, and where two digits
    meet is where it is hard to tell. Digits stand two by two, each moved by up to two pixels, the darker ink on top; light,
    contrast and noise differ from picture to picture. Those of training, validation and test pictures are other writings.

    path: a folder of serial sections as `cells` reads it (ISBI 2012's, cells that touch along membranes), in tiles of 32 x 32;
    classes are the inside of a cell and its membrane.
    """
    dtype = torch.get_default_dtype()
    data = _written(dtype) if path is None else _sections(str(path), dtype, 32)
    classes, width, steps = (CLASSES, 6, 120) if path is None else (2, 6, 120)
    world = FewLabels(
        seed=seed, task="segment", data=data, batch=8, steps=steps, new_student=lambda: UNet(width, classes),
        player=Player(functools.partial(torch.optim.Adam, lr=2e-2), cosine(steps)),
    )  # fmt: skip
    if small:
        few = data.few("segment", 4, 32)
        middle = (..., slice(4, 16), slice(4, 16))
        few.train, few.valid = (Part(p.x[middle], p.y[middle]) for p in (few.train, few.valid))
        world = recast(world, data=few, size=32, steps=24, new_student=lambda: UNet(2, classes))
    return recast(world, **changes)


def touching_teachers(
    seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any
) -> FewLabels:
    """The same with two teachers, a deep and thin U-Net and a shallow and wide one (`Pair`). ready: each has learned from the
    same few labels as the student's, for twice as long."""
    world = touching(seed, small=small, path=path, **changes)
    with stream(seed, "teachers"):
        pair = Pair(2 if small else 8, CLASSES if path is None else 2)
    if ready:
        longer = Player(world.player.optimiser, cosine(2 * world.steps))
        pair.deep, pair.wide = (trained(world, net, 2 * world.steps, seed, player=longer) for net in (pair.deep, pair.wide))
    return recast(world, given_teacher=pair)


@functools.cache
def _written(dtype: torch.dtype) -> Scarce:
    found = splits(dtype)
    with stream("touching"):
        parts = [_pictures(part, n, dtype) for part, n in ((found.pool, TRAIN), (found.valid, VALID), (found._test, TEST))]
    return Scarce("segment", KNOWN, *parts)


def _pictures(digits: Part, n: int, dtype: torch.dtype) -> Part:
    """x [n, 1, 20, 20] around 0, y [n, 20, 20]"""
    own = (digits.y < KINDS).nonzero()[:, 0]
    pick = own[torch.randint(len(own), (n, 4))]
    ink = ((digits.x[pick][:, :, 0] + 1) / 2).to(dtype)
    corner = torch.tensor([[2, 2], [2, 10], [10, 2], [10, 10]]) + torch.randint(-2, 3, (n, 4, 2))
    canvas: Tensor = torch.zeros(n, 4, SIDE, SIDE, dtype=dtype)
    for i in range(n):
        for k, (top, left) in enumerate(corner[i].tolist()):
            canvas[i, k, top : top + 8, left : left + 8] = ink[i, k]
    dark, whose = canvas.max(1)
    y = torch.where(dark > INK, 1 + digits.y[pick].gather(1, whose.flatten(1)).view_as(whose), 0)
    between = lambda low, high: low + (high - low) * torch.rand(n, 1, 1, dtype=dtype)
    x = between(0.6, 1.4) * dark + between(-0.3, 0.3) + between(0.05, 0.15) * torch.randn(n, SIDE, SIDE, dtype=dtype)
    return Part((x[:, None] - 0.35) / 0.4, y)
