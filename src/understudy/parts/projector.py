"""Heads that self-supervised methods learn through and throw away."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from understudy.parts.relation import unit


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation by the batch at hand in training and out of it, so that an average that doesn't learn normalises as
    its student does; a batch of one row has no deviation and is only scaled and shifted; [N, D] -> [N, D]"""

    def __init__(self, width: int) -> None:
        super().__init__(width, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if len(x) > 1 else x * self.weight + self.bias


def mlp(width: int, hidden: int, dim: int) -> nn.Module:
    """Linear, batch normalisation, ReLU, linear, as BYOL's projector and predictor are; [N, width] -> [N, dim]"""
    return nn.Sequential(nn.Linear(width, hidden, bias=False), BatchNorm(hidden), nn.ReLU(), nn.Linear(hidden, dim))


class Directions(nn.Module):
    """DINO's head (Caron et al. 2021): two hidden layers with batch normalisation (their `use_bn_in_head`; norm=False leaves it out)
    and GELU, a bottleneck whose vector is made of unit length, and its cosines with `dim` learned directions; [..., width] ->
    [..., dim], within [-1, 1]"""

    def __init__(self, width: int, hidden: int, neck: int, dim: int, norm: bool = True) -> None:
        super().__init__()
        after = BatchNorm if norm else lambda _: nn.Identity()
        self.neck = nn.Sequential(nn.Linear(width, hidden, bias=not norm), after(hidden), nn.GELU(),
                                  nn.Linear(hidden, hidden, bias=not norm), after(hidden), nn.GELU(), nn.Linear(hidden, neck))  # fmt: skip
        self.directions = nn.Parameter(torch.randn(dim, neck))

    def forward(self, x: Tensor) -> Tensor:
        inside = self.neck(x.flatten(0, -2))
        return F.linear(unit(inside), unit(self.directions)).view(*x.shape[:-1], -1)
