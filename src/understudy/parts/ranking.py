"""Orders instead of values."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from understudy.parts.divergence import mean, wide


def plackett_luce(scores: Tensor, order: Tensor, weights: Tensor, *, each: bool = False) -> Tensor:
    """-sum_k w_k log P(the k-th choice is order_k, among those that are left), P proportional to exp(score).

    order: class numbers from the first choice to the last; weights: by place. [N, C], [N, C], [N, C] -> []
    """
    s = wide(scores).gather(-1, order)
    left = s.flip(-1).logcumsumexp(-1).flip(-1)
    return mean((weights * (left - s)).sum(-1), each)


def places(scores: Tensor) -> Tensor:
    """1 for the highest score of a row, 2 for the next ...; ties by class number; [N, C] -> [N, C]"""
    return scores.argsort(dim=-1, descending=True, stable=True).argsort(-1) + 1


def label_first(scores: Tensor, y: Tensor) -> Tensor:
    """The label, then the other classes from the highest score to the lowest; [N, C], [N] -> class numbers [N, C]"""
    return wide(scores).scatter(-1, y[:, None], torch.inf).argsort(dim=-1, descending=True, stable=True)


def margins(scores: Tensor) -> Tensor:
    """How far a row's first score is above each of the others; [N, K] -> [N, K-1]"""
    return wide(scores[:, :1]) - wide(scores[:, 1:])


def ranknet(scores: Tensor, grades: Tensor) -> Tensor:
    """Mean of log(1 + e^(s_j - s_i)) over the pairs of a row with grade i above grade j, Burges et al. 2005; grades below 0 are
    hidden, no pair gives 0. [N, K], [N, K] -> []"""
    s = wide(scores)
    above = (grades[:, :, None] > grades[:, None, :]) & (grades >= 0)[:, None, :]
    return (F.softplus(s[:, None, :] - s[:, :, None]) * above).sum() / above.sum().clamp(min=1)
