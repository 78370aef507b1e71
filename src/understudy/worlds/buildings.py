"""Buildings seen aslant from the air: many maps of where they stand, few of where they are seen."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import torch
from torch import Tensor

from understudy.core.seeds import stream
from understudy.core.world import Player, recast
from understudy.parts.schedule import cosine
from understudy.worlds._scarce import Scarce
from understudy.worlds.cells import UNet
from understudy.worlds.digits import Part
from understudy.worlds.rows import Rows

SIDE, HEIGHTS = 24, ("low-rise", "mid-rise", "high-rise", "skyscraper")
CLEAN, NOISY, VALID, TEST = 12, 240, 80, 240


def buildings(seed: int = 0, *, ready: bool = False, small: bool = False, labels: str = "clean", **changes: Any) -> Rows:
    """12 generated pictures of 24 x 24 whose labels lie where roofs are seen; labels='noisy': 240 others whose labels lie where
    buildings stand, as a map has them; 'both': all of them. A tiny U-Net.

    Up to three flat roofs, each brighter or darker than the ground, with a darker side below it where the camera looks aslant; so
    a roof is seen away from its place by its height times the slant. All buildings of a picture are of one kind of four, 1 to 4
    heights tall, and the k-th picture is of kind k mod 4. Each picture has a slant of its own, half a pixel to one and a half for
    each height, to any side. Nothing of this is photographed: shifts follow the rule, and real maps are wrong in other ways too.
    """
    clean, noisy, valid, test = _made(torch.get_default_dtype())
    both = Part(torch.cat([clean.x, noisy.x]), torch.cat([clean.y, noisy.y]))
    train = {"clean": clean, "noisy": noisy, "both": both}[labels]
    world = Rows(
        seed=seed, task="segment", data=Scarce("segment", len(train.y), train, valid, test), batch=8, steps=160,
        new_student=lambda: UNet(6, 2), player=Player(functools.partial(torch.optim.Adam, lr=1e-2), cosine(160)),
    )  # fmt: skip
    if small:
        few = world.data.few("segment", 8, 8)
        world = recast(world, data=few, size=8, steps=24, new_student=lambda: UNet(2, 2))
    return recast(world, **changes)


@functools.cache
def _made(dtype: torch.dtype) -> tuple[Part, Part, Part, Part]:
    with stream("buildings"):
        x, roof, place = _seen(CLEAN + NOISY + VALID + TEST, dtype)
    ends = [0, CLEAN, CLEAN + NOISY, CLEAN + NOISY + VALID, len(x)]
    parts = [Part(x[i:j], (place if k == 1 else roof)[i:j]) for k, (i, j) in enumerate(itertools.pairwise(ends))]
    return parts[0], parts[1], parts[2], parts[3]


def _seen(n: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures [n, 1, 24, 24] around 0, roofs as they are seen and the places that they stand above, [n, 24, 24] of 0 and 1"""
    x = torch.zeros(n, SIDE, SIDE, dtype=dtype)
    roof, place = torch.zeros(2, n, SIDE, SIDE, dtype=torch.long)
    for i in range(n):
        tall, turn = 1 + i % len(HEIGHTS), 6.2832 * torch.rand(())
        slant = (0.5 + torch.rand(())) * torch.stack([turn.sin(), turn.cos()])
        for _ in range(int(torch.randint(1, 4, ()))):
            size, bright = torch.randint(4, 9, (2,)), 0.5 + 0.8 * torch.rand(()) * (1 if torch.rand(()) < 0.7 else -1)
            corner = torch.randint(1, SIDE - 9, (2,))
            for step in range(4 * tall + 1):  # from the ground to the roof
                top, left = (corner + (slant * step / 4).round()).long().clamp(0, SIDE - 4).tolist()
                spot = (i, slice(top, top + int(size[0])), slice(left, left + int(size[1])))
                if step == 0:
                    place[spot] = 1
                if step < 4 * tall:
                    x[spot], roof[spot] = -0.5, 0
                else:
                    x[spot], roof[spot] = bright.to(dtype), 1
        x[i] += 0.4 * (torch.rand(()) - 0.5) + 0.15 * torch.randn(SIDE, SIDE)
    return x[:, None], roof, place
