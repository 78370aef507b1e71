"""Features of two views that say the same, each in a way of its own (Zbontar et al. 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

from understudy.parts.divergence import wide


def cross_correlation(f: Tensor, g: Tensor, eps: float = 1e-4) -> Tensor:
    """How each feature of one view goes with each of the other over a batch, in [-1, 1]; one that doesn't vary goes with none;
    [N, D] twice -> [D, D]"""
    f, g = ((wide(v) - wide(v).mean(0)) / (wide(v).var(0, correction=0) + eps).sqrt() for v in (f, g))
    return f.mT @ g / max(len(f), 1)


def redundancy(f: Tensor, g: Tensor, other: float = 5e-3) -> Tensor:
    """sum_i (1 - C_ii)^2 + other sum_{i != j} C_ij^2, over the number of features; [N, D] twice -> []"""
    c = cross_correlation(f, g)
    same = torch.eye(len(c), dtype=torch.bool, device=c.device)
    return torch.where(same, (1 - c).square(), other * c.square()).sum() / len(c)
