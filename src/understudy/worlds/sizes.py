"""Handwritten digits, and a student that is the largest of 32,768: convolutional networks of three stages, any of which may be
narrower, shallower or of smaller kernels."""

from __future__ import annotations

import functools
from typing import Any

from torch import nn

from understudy.core.world import recast
from understudy.worlds.digits import digits
from understudy.worlds.rows import Rows


class Stages(nn.Sequential):
    """x [N, C, H, W] -> [N, outputs]; stage i has convs[i] convolutions of widths[i] channels and sides of 2 reach[i] + 1, the picture
    halved between the stages, its mean over places into the head."""

    def __init__(
        self, shape: tuple[int, ...], outputs: int, widths: tuple[int, ...], convs: tuple[int, ...], reach: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.config = {"shape": shape, "outputs": outputs, "widths": widths, "convs": convs, "reach": reach}
        last = shape[0]
        for i, (width, n, r) in enumerate(zip(widths, convs, reach, strict=True)):
            layers: list[nn.Module] = [nn.MaxPool2d(2)] if i else []
            for _ in range(n):
                layers += [nn.Conv2d(last, width, 2 * r + 1, padding=r, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
                last = width
            self.add_module(f"stage{i + 1}", nn.Sequential(*layers))
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(last, outputs)


def sizes(seed: int = 0, *, ready: bool = False, small: bool = False, **changes: Any) -> Rows:
    """The digits' rows and teacher; `small` has 512 sizes."""
    largest = ((8, 8, 8), (1, 1, 1), (1, 1, 1)) if small else ((16, 24, 32), (2, 2, 2), (2, 2, 2))
    world = digits(seed, ready=ready, small=small)
    return recast(world, new_student=functools.partial(Stages, (1, 8, 8), 10, *largest), **changes)
