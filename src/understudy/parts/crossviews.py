"""What is asked of views of the same rows, each against those that aren't itself."""

from __future__ import annotations

import torch
from torch import Tensor

from understudy.parts.divergence import wide


def across(p: Tensor, s: Tensor, t: float) -> Tensor:
    """Mean over pairs of views i != j, and over rows, of the cross-entropy from p_i to softmax(s_j / t); a student's first V
    views are those that the teacher saw, and nobody learns from its own. Caron et al. 2021, eq. 3; [V, N, K] probabilities,
    [W, N, K], W >= V, W > 1 -> []"""
    ce = -torch.einsum("vnk,wnk->vw", p.to(wide(s)), (wide(s) / t).log_softmax(-1)) / max(p.shape[1], 1)
    other = ~torch.eye(len(p), len(s), dtype=torch.bool, device=s.device)
    return ce[other].mean()


def matched(f: Tensor, g: Tensor) -> Tensor:
    """For each region of one view the most similar region of another, by the cosine of their features. Li et al. 2022 (EsViT), eq.
    2; [N, M, D], [N, L, D] -> [N, M] of 0 .. L-1"""
    unit = torch.nn.functional.normalize
    return (unit(wide(f), dim=-1) @ unit(wide(g), dim=-1).mT).argmax(-1)
