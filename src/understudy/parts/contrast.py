"""One positive against many negatives. Scores come as logarithms, so that no temperature overflows."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from understudy.parts.divergence import mean, wide
from understudy.parts.relation import unit


def nce(log_scores: Tensor, c: float, eps: float = 1e-7) -> Tensor:
    """Noise-contrastive estimation (Gutmann and Hyvarinen, 2010), the positive first; [N, 1+K] -> []

    -log x_0 / (x_0 + c + eps) - sum over k of log c / (x_k + c + eps), c = negatives over rows to draw from; mean over N.
    """
    x, floor = wide(log_scores), math.log(c + eps)
    positive = F.softplus(floor - x[:, 0])
    negative = torch.logaddexp(x[:, 1:], torch.full_like(x[:, 1:], floor)) - math.log(c)
    return mean(positive + negative.sum(1), False)


def infonce(a: Tensor, b: Tensor, t: float) -> Tensor:
    """-log softmax(a_i . b_j / t) at j = i, mean over i; unit vectors [M, D], [M, D] -> []"""
    return mean(-(wide(a @ b.T) / t).log_softmax(-1).diagonal(), False)


def among_views(z: Tensor, t: float) -> Tensor:
    """Each row's other views against all other rows and views, cosine over t, mean over positives and anchors: the supervised
    contrastive loss (Khosla et al., 2020) where every row is its own class; [V, N, D], V of 2 or more -> []"""
    v, n, _ = z.shape
    u = unit(z).flatten(0, 1)
    itself = torch.eye(v * n, dtype=torch.bool, device=z.device)
    log_p = (u @ u.T / t).masked_fill(itself, -torch.inf).log_softmax(-1)
    mates = torch.eye(n, dtype=torch.bool, device=z.device).repeat(v, v) & ~itself
    return mean(-log_p[mates], False)


def by_label(a: Tensor, of_a: Tensor, b: Tensor, of_b: Tensor, t: float, weight: Tensor | None = None) -> Tensor:
    """Anchors a against keys b, of which those of the anchor's label are to be near and all others far; the supervised contrastive
    loss (Khosla et al. 2020) between two sets. weight [K] of a key among those to be far from; mean over anchors that have a mate,
    0 where none has.

        -1/|P_i| sum_{j in P_i} log (e^{a_i . b_j / t} / sum_k w_k e^{a_i . b_k / t})

    unit vectors [M, D], labels [M], [K, D], [K] -> []
    """
    scores = wide(a @ b.T) / t
    against = scores if weight is None else scores + wide(weight).clamp(min=1e-6).log()
    mates = of_a[:, None] == of_b
    count = mates.sum(1)
    each = -(scores - against.logsumexp(1, keepdim=True)).where(mates, 0).sum(1) / count.clamp(min=1)
    return each.sum() / (count > 0).sum().clamp(min=1)
