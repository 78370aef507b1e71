"""Digits to be made few: a data set of some rows a class, worth what fresh students learn from it alone."""

from __future__ import annotations

import functools
import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from understudy.core import seal
from understudy.core.errors import refuse
from understudy.core.world import recast
from understudy.worlds.digits import Few, Part, splits
from understudy.worlds.rows import Rows


class Scans:
    """MNIST's four files: the last 5,000 of the training rows are for choosing."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        self.folder, self.dtype = folder, dtype
        rows = self._part("train")
        n = max(1, min(5000, len(rows.y) // 4))
        self.train, self.valid = Part(rows.x[:-n], rows.y[:-n]), Part(rows.x[-n:], rows.y[-n:])

    @functools.cached_property
    def _test(self) -> Part:
        return self._part("t10k")

    @property
    def test(self) -> Part:
        seal.check("the test split of MNIST")
        return self._test

    def _part(self, name: str) -> Part:
        x, y = (_idx(self.folder / f"{name}-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1"))
        if x.dim() != 3 or y.dim() != 1 or len(x) != len(y):
            raise refuse(
                "path", str(self.folder), f"images [N, H, W] and as many labels; '{name}' has {list(x.shape)} and {list(y.shape)}"
            )
        return Part(x[:, None].to(self.dtype) / 127.5 - 1, y.long())


def _idx(path: Path) -> Tensor:
    """One array of bytes: two zeros, the type (8), how many sizes, the sizes, the values."""
    try:
        data = gzip.decompress(path.read_bytes())
        sizes = np.frombuffer(data, ">i4", data[3], 4)
        if data[:3] != b"\0\0\x08" or len(data) != 4 + 4 * len(sizes) + math.prod(sizes.tolist()):
            raise ValueError("its header and its length disagree")
    except (OSError, EOFError, ValueError, IndexError) as e:
        raise refuse("path", str(path), f"a folder with MNIST's four .gz files, each whole ({e})") from None
    return torch.from_numpy(np.frombuffer(data, np.uint8, offset=4 + 4 * len(sizes)).reshape(sizes).copy())


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
    dtype = torch.get_default_dtype()
    data: Any = _scans(Path(path), dtype) if path else _pool(dtype)
    side = data.train.x.shape[-1]
    new = functools.partial(_convnet, side, 16) if conv else functools.partial(_mlp, side, 32 if side < 16 else 64)
    world = Rows(seed=seed, steps=400, data=data, batch=32, new_student=new)
    if small:
        world = recast(world, data=Few(data), size=64, batch=8, steps=24, new_student=functools.partial(_mlp, side, 4), pupils=1)
    return recast(world, **changes)


@functools.cache
def _scans(path: Path, dtype: torch.dtype) -> Scans:
    return Scans(path, dtype)


class _Pool:
    """Digits with all the rows that their teacher has."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.all = splits(dtype)
        self.train, self.valid = self.all.pool, self.all.valid

    @property
    def test(self) -> Part:
        return self.all.test


@functools.cache
def _pool(dtype: torch.dtype) -> _Pool:
    return _Pool(dtype)
