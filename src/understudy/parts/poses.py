"""A weak and a strong view of rows of any kind, and pictures in four poses; by torch's own stream, a row by itself."""

from __future__ import annotations

import torch
from torch import Tensor

from understudy.core.errors import refuse
from understudy.parts.views import strong, weak


def weakly(x: Tensor) -> Tensor:
    """Pictures [N, C, H, W] (spectrograms among them) a little larger or smaller and aside, see `parts.views.weak`; other rows
    [N, ...] with noise of a tenth of each number's deviation over the batch. Raises `Refused` of what isn't real numbers; ->
    the same shape"""
    if not len(x):
        return x
    return weak(x)[0] if pictures(x) else _shaken(x, 0.1)


def strongly(x: Tensor) -> Tensor:
    """Pictures as `parts.views.strong` shows them; other rows with three times that noise, and each of a fifth of their numbers
    at its mean over the batch; [N, ...] -> the same shape"""
    if not len(x):
        return x
    if pictures(x):
        return strong(x)[0]
    return torch.where(torch.rand_like(x) < 0.2, x.mean(0, keepdim=True), _shaken(x, 0.3))


def pictures(x: Tensor) -> bool:
    """Whether rows are pictures, by their shape; raises `Refused` where they aren't real numbers."""
    if not (isinstance(x, Tensor) and x.is_floating_point()):
        raise refuse(
            "x", getattr(x, "dtype", type(x).__name__), "rows of real numbers", "words can't be shaken: use a method for texts"
        )
    return x.dim() == 4


def _shaken(x: Tensor, share: float) -> Tensor:
    return x + share * x.std(0, correction=0, keepdim=True) * torch.randn_like(x)


def posed(x: Tensor, pose: Tensor) -> Tensor:
    """Pictures turned by 0 to 3 quarters where they are square, and else mirrored: 0 as they are, 1 left to right, 2 upside
    down, 3 both (Gidaris et al. 2018; of spectrograms time and pitch, Cances et al. 2022); [N, C, H, W], [N] of 0 .. 3 -> [N,
    C, H, W]"""
    square = x.shape[-1] == x.shape[-2]
    ways = [x.rot90(k, (-2, -1)) for k in range(4)] if square else [x, x.flip(-1), x.flip(-2), x.flip((-2, -1))]
    return torch.stack(ways, 1)[torch.arange(len(x), device=x.device), pose]
