"""Pictures without labels: handwritten digits, or a folder of pictures; an encoder is what is learned."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core.world import Player, recast
from understudy.parts.schedule import cosine
from understudy.worlds._pictures import pictures
from understudy.worlds._unlabelled import Hidden, Unlabelled
from understudy.worlds.digits import Part

LIMIT = 3000  # pictures of a folder that are learned from, a sixth of them for validation, and as many for the test


class Encoder(nn.Module):
    """Three convolutions and the mean over places; [N, C, H, W] -> [N, 4 channels]. Pictures of more than 16 pixels are
    halved three times, smaller ones once. Group normalisation, so that what is said of a row doesn't hang on the rows beside it."""

    def __init__(self, channels: int, colours: int = 1, side: int = 8) -> None:
        super().__init__()
        widths, strides = (colours, channels, 2 * channels, 4 * channels), (2, 2, 2) if side > 16 else (1, 2, 1)
        self.body = nn.Sequential(*(
            nn.Sequential(nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.GroupNorm(4, b), nn.ReLU())
            for a, b, stride in zip(widths[:-1], widths[1:], strides, strict=True)
        ))  # fmt: skip
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pool(self.body(x))
        return out


def gallery(
    seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any
) -> Unlabelled:
    """897 handwritten digits [1, 8, 8] of scikit-learn without their labels, values in [-1, 1]; an encoder of 23,000 weights
    with 64 features, 240 updates of 64 rows.

    It is scored by a linear probe on its frozen features: ridge regression in closed form on the 897 rows with their labels, the
    share of the 600 test rows (300 for validation) answered right. path: a folder with the files of MNIST or CIFAR-10, or with
    a folder a class, of which 2,500 pictures are learned from."""
    found = pictures(None if path is None else str(path), LIMIT, torch.get_default_dtype())
    colours, side = found.train.x.shape[1], found.train.x.shape[-1]
    data = Hidden(found.train, found.valid, found._test)
    steps, width = (24, 4) if small else (240, 16)
    if small:
        data = Hidden(*(Part(p.x[:rows], p.y[:rows]) for p, rows in ((found.train, 64), (found.valid, 32))))
    world = Unlabelled(
        seed=seed, data=data, batch=8 if small else 64, steps=steps, classes=int(found.train.y.max()) + 1,
        new_student=functools.partial(Encoder, width, colours, side),
        player=Player(functools.partial(torch.optim.Adam, lr=8e-3), cosine(steps, steps // 10)),
    )  # fmt: skip
    return recast(world, **changes)
