"""Pictures of cells of which few are labelled: generated ones, or electron micrographs whose membranes are to be found."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from understudy.core.errors import refuse
from understudy.core.seeds import stream
from understudy.core.world import Player, recast
from understudy.parts.schedule import cosine
from understudy.worlds._scarce import FewLabels, Scarce
from understudy.worlds.digits import Part

SIDE, CLASSES = 32, 4  # background, nucleus, cytoplasm, bud
KNOWN, TRAIN, VALID, TEST = 4, 124, 100, 300


class UNet(nn.Module):
    """Down twice, up twice, with what was seen on the way down (Ronneberger et al. 2015); [N, 1, H, W] -> [N, classes, H, W]"""

    def __init__(self, c: int, classes: int) -> None:
        super().__init__()
        self.down1, self.down2 = _block(1, c), _block(c, 2 * c)
        self.bottom = nn.Sequential(_block(2 * c, 4 * c), _block(4 * c, 4 * c))
        self.up2, self.up1 = _block(6 * c, 2 * c), _block(3 * c, c)
        self.head = nn.Conv2d(c, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.down1(x)
        b = self.down2(F.max_pool2d(a, 2))
        up = self.up2(torch.cat([b, _larger(self.bottom(F.max_pool2d(b, 2)), b)], 1))
        out: Tensor = self.head(self.up1(torch.cat([a, _larger(up, a)], 1)))
        return out


def _block(c_in: int, c_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(c_in, c_out, 3, padding=1, bias=False), nn.GroupNorm(2, c_out), nn.LeakyReLU(0.1))


def _larger(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[-2:], mode="nearest")


def cells(
    seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any
) -> FewLabels:
    """124 generated pictures of 32 x 32, 4 of them labelled; a tiny U-Net.

    A bright nucleus in a darker ring of cytoplasm, a bud beside it, and debris of any brightness around; so it is
    the neighbourhood that tells what a pixel is. Light, contrast and noise differ from picture to picture.

    path: a folder with train/image/K.png and train/label/K.png, grey serial sections of one tissue in which membranes are black in
    the label (ISBI 2012's, as published with U-Net); classes are the inside of a cell and its membrane. Sections are halved in size
    and cut into tiles of 64 x 64. Of every 30 sections in the order of their numbers, the 1st is labelled, the next 18 are not, then
    5 are for validation and the last 6 for the test, so that neither lies between sections that are learned from.
    """
    dtype = torch.get_default_dtype()
    data = _generated(dtype) if path is None else _sections(str(path), dtype)
    classes, steps = (CLASSES, 400) if path is None else (2, 200)
    world = FewLabels(
        seed=seed, task="segment", data=data, batch=8, steps=steps, new_student=lambda: UNet(8, classes),
        player=Player(functools.partial(torch.optim.Adam, lr=3e-3), cosine(steps)),
    )  # fmt: skip
    if small:
        few = _cropped(data.few("segment", 4, 32), 16)
        world = recast(world, data=few, size=32, steps=24, new_student=lambda: UNet(2, classes))
    vars(world).update(changes)
    return world


def _cropped(data: Scarce, side: int) -> Scarce:
    for name in ("train", "valid"):
        part = getattr(data, name)
        low = (part.x.shape[-1] - side) // 2
        middle = (..., slice(low, low + side), slice(low, low + side))
        setattr(data, name, Part(part.x[middle], part.y[middle]))
    return data


@functools.cache
def _generated(dtype: torch.dtype) -> Scarce:
    with stream("cells"):
        x, y = _pictures(TRAIN + VALID + TEST)
    train, valid, test = (Part(a.to(dtype), b) for a, b in zip(x.split([TRAIN, VALID, TEST]), y.split([TRAIN, VALID, TEST])))
    return Scarce("segment", KNOWN, train, valid, test)


def _pictures(n: int) -> tuple[Tensor, Tensor]:
    """x [n, 1, 32, 32] around 0, y [n, 32, 32]"""
    between = lambda low, high: low + (high - low) * torch.rand(n, 1, 1)
    down, right = torch.meshgrid(torch.arange(SIDE) - SIDE / 2 + 0.5, torch.arange(SIDE) - SIDE / 2 + 0.5, indexing="ij")

    def ellipse(cy: Tensor, cx: Tensor, a: Tensor, b: Tensor, turn: Tensor) -> Tensor:
        u, v = right - cx, down - cy
        return ((u * turn.cos() + v * turn.sin()) / a) ** 2 + ((v * turn.cos() - u * turn.sin()) / b) ** 2 < 1

    cy, cx, turn, side = between(-4, 4), between(-4, 4), between(0, math.pi), between(0.6, 1.4) * math.pi
    a, b, ring = between(2.2, 4), between(2.2, 4), between(1.5, 2.5)
    nucleus, cell = ellipse(cy, cx, a, b, turn), ellipse(cy, cx, a + ring, b + ring, turn)
    far = (a + b) / 2 + ring
    bud = ellipse(cy + far * side.sin(), cx + far * side.cos(), between(2, 3.2), between(3, 4.5), side) & ~cell
    y = torch.where(nucleus, 1, torch.where(cell, 2, torch.where(bud, 3, 0)))
    debris = torch.zeros_like(bud)
    for _ in range(3):
        debris |= ellipse(between(-16, 16), between(-16, 16), between(1, 3.5), between(1, 3.5), between(0, math.pi))
    bright = torch.where(debris & (y == 0), between(0.5, 1.1), torch.tensor([0.1, 1.0, 0.4, 0.7])[y])
    slope = (between(-0.25, 0.25) * right + between(-0.25, 0.25) * down) / SIDE
    x = between(0.5, 1.5) * bright + slope + between(-0.3, 0.3) + between(0.1, 0.25) * torch.randn(n, SIDE, SIDE)
    return (x[:, None] - 0.35) / 0.4, y


@functools.cache
def _sections(path: str, dtype: torch.dtype, tile: int = 64) -> Scarce:
    import numpy as np
    from PIL import Image

    from understudy.data.raw import reading

    folders = [Path(path) / "train" / kind for kind in ("image", "label")]
    names = sorted((p.name for p in folders[0].glob("*.png")), key=lambda n: (len(n), n))
    if len(names) < 4:
        raise refuse("path", path, f"a folder with train/image/K.png and train/label/K.png, 4 or more (there are {len(names)})")
    both = []
    for folder in folders:
        found = []
        for name in names:
            if not (folder / name).is_file():
                raise refuse("path", str(folder / name), "a label for each picture of train/image", "its name is the picture's")
            with reading(folder / name, "a picture"), Image.open(folder / name) as picture:
                found.append(torch.from_numpy(np.asarray(picture.convert("L"), dtype=np.float32) / 255))
        if len({f.shape for f in found}) > 1 or min(found[0].shape) < 2 * tile or (both and found[0].shape != both[0].shape[1:]):
            raise refuse("path", str(folder), f"pictures of one size, {2 * tile} x {2 * tile} or larger, labels as large as they")
        both.append(torch.stack(found))
    cut = lambda t: F.avg_pool2d(t[:, None], 2).unfold(2, tile, tile).unfold(3, tile, tile).reshape(-1, 1, tile, tile)
    x, y = cut(both[0]).to(dtype), (cut(both[1])[:, 0] < 0.5).long()
    each, n = len(x) // len(names), len(names)
    ends = [max(1, round(n * share)) * each for share in (1 / 30, 19 / 30, 24 / 30)]
    x = (x - x[: ends[1]].mean()) / x[: ends[1]].std()
    train, valid, test = (Part(x[i:j], y[i:j]) for i, j in ((0, ends[1]), (ends[1], ends[2]), (ends[2], len(x))))
    return Scarce("segment", ends[0], train, valid, test)
