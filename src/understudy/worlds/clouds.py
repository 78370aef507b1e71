"""Points on the ink of handwritten digits, without labels; an encoder of point clouds is what is learned."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core.seeds import stream
from understudy.core.world import Player, recast
from understudy.parts.schedule import cosine
from understudy.worlds._pictures import pictures
from understudy.worlds._unlabelled import Hidden, Unlabelled
from understudy.worlds.digits import Part

POINTS, LIMIT = 64, 3000


class PointNet(nn.Module):
    """A small PointNet (Qi et al. 2017): the same layers for every point, the largest of all points, a layer more; the order and
    number of points don't matter; [N, P, 3] -> [N, 64]"""

    def __init__(self, width: int) -> None:
        super().__init__()
        layer = lambda a, b: nn.Sequential(nn.Linear(a, b), nn.LayerNorm(b), nn.ReLU())
        self.points = nn.Sequential(layer(3, width), layer(width, width), layer(width, 2 * width))
        self.out = nn.Linear(2 * width, 64)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(self.points(x).amax(1))
        return out


def clouds(
    seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any
) -> Unlabelled:
    """897 handwritten digits of scikit-learn as clouds of 64 points (right, up, ink): each lies in a pixel drawn in proportion to its
    ink, anywhere within it; the third coordinate is how dark the pixel is. Centred, the furthest point at distance 1. The points
    are drawn once, the same for every seed. A PointNet of 14,000 weights, 240 updates of 64 rows.

    It is scored as `gallery` is: a linear probe on frozen features, ridge regression in closed form on the 897 rows with their
    labels; 300 rows for validation, 600 for the test. path: a folder with MNIST's files or a folder a class, bright ink on black."""
    data = _data(None if path is None else str(path), torch.get_default_dtype())
    steps, width = (24, 8) if small else (240, 48)
    if small:
        data = Hidden(*(Part(p.x[:rows, ::3], p.y[:rows]) for p, rows in ((data.told, 64), (data.valid, 32))))
    world = Unlabelled(
        seed=seed, data=data, batch=8 if small else 64, steps=steps, classes=int(data.told.y.max()) + 1,
        new_student=functools.partial(PointNet, width),
        player=Player(functools.partial(torch.optim.Adam, lr=3e-3), cosine(steps, steps // 10)),
    )  # fmt: skip
    return recast(world, **changes)


@functools.lru_cache(maxsize=2)
def _data(path: str | None, dtype: torch.dtype) -> Hidden:
    found = pictures(path, LIMIT, dtype)
    with stream("clouds"):
        return Hidden(*(Part(sampled(part.x, POINTS), part.y) for part in (found.train, found.valid, found._test)))


def sampled(x: Tensor, points: int) -> Tensor:
    """Points where there is ink, by torch's own stream; pictures [N, C, H, W] in [-1, 1] -> [N, points, 3]"""
    ink = (x.mean(1) + 1) / 2
    h, w = ink.shape[1:]
    pick = torch.multinomial(ink.flatten(1) + 1e-9, points, replacement=True)
    within = torch.rand(len(x), points, 2, dtype=x.dtype)
    place = torch.stack([(pick % w + within[..., 0]) / w, 1 - (pick // w + within[..., 1]) / h], -1)
    cloud = torch.cat([2 * place - 1, ink.flatten(1).gather(1, pick)[..., None]], -1)
    cloud = cloud - cloud.mean(1, keepdim=True)
    return cloud / cloud.norm(dim=-1).amax(1)[:, None, None].clamp(min=1e-6)
