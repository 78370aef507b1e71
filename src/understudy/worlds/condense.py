"""Digits to be made few: a data set of some rows a class, worth what fresh students learn from it alone."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import torch
from torch import nn

from understudy.core.world import recast
from understudy.worlds._pictures import pictures
from understudy.worlds.digits import Few
from understudy.worlds.rows import Rows


def _mlp(side: int, hidden: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(side * side, hidden), nn.ReLU(), nn.Linear(hidden, 10))


def _convnet(side: int, width: int) -> nn.Module:
    """Blocks of a convolution, instance normalisation, ReLU and average pooling, down to 4 x 4 at the least; a linear layer."""
    depth = max(1, int(math.log2(side // 4)))
    blocks = [
        m
        for i in range(depth)
        for m in (nn.Conv2d(width if i else 1, width, 3, padding=1), nn.GroupNorm(width, width), nn.ReLU(), nn.AvgPool2d(2))
    ]
    return nn.Sequential(*blocks, nn.Flatten(), nn.Linear(width * (side >> depth) ** 2, 10))


def condense(
    seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, conv: bool = False, **changes: Any
) -> Rows:
    """897 digits of 8 x 8, or MNIST's files in the folder `path`; a perceptron, or a ConvNet (`conv`), without batch statistics."""
    data = pictures(path, 60000, torch.get_default_dtype())
    side = data.train.x.shape[-1]
    new = functools.partial(_convnet, side, 16) if conv else functools.partial(_mlp, side, 32 if side < 16 else 64)
    world = Rows(seed=seed, steps=400, data=data, batch=32, new_student=new)
    if small:
        world = recast(world, data=Few(data), size=64, batch=8, steps=24, new_student=functools.partial(_mlp, side, 4), pupils=1)
    return recast(world, **changes)
