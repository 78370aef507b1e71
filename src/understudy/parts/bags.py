"""Bags of instances that are labelled as a whole: attention that pools them, and which of them are hidden."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from understudy.parts.divergence import wide


class GatedAttention(nn.Module):
    """How much each instance of a bag counts, before the softmax: a_k = w . (tanh(V h_k) * sigmoid(U h_k)). Ilse, Tomczak and Welling
    2018, eq. 9; w has no bias, which a softmax doesn't feel; [N, M, D] -> [N, M]"""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.v, self.u, self.w = nn.Linear(width, hidden), nn.Linear(width, hidden), nn.Linear(hidden, 1, bias=False)

    def forward(self, h: Tensor) -> Tensor:
        a: Tensor = self.w(self.v(h).tanh() * self.u(h).sigmoid())
        return a[..., 0]


def weights(a: Tensor, kept: Tensor | None = None) -> Tensor:
    """softmax over the instances of a bag that are kept, 0 for the others; of a bag of which none is, over all;
    [N, M], [N, M] bool -> [N, M]"""
    a = wide(a)
    return a.softmax(-1) if kept is None else a.masked_fill(~some(kept), -torch.inf).softmax(-1)


def some(kept: Tensor) -> Tensor:
    """A bag of which nothing is kept is kept whole; [N, M] bool -> [N, M] bool"""
    return kept | ~kept.any(-1, keepdim=True)


def embedded(h: Tensor, a: Tensor, kept: Tensor | None = None) -> Tensor:
    """A bag as the mean of its instances, weighted by attention; [N, M, D], [N, M] -> [N, D]"""
    return (weights(a, kept).to(h)[..., None] * h).sum(-2)


class AttentionMIL(nn.Module):
    """Attention-based multiple instance learning: instances are encoded, pooled by gated attention, and the bag is classified;
    [N, M, ...], kept [N, M] bool or None -> [N, classes]. encoder: [N, M, ...] -> [N, M, width]"""

    def __init__(self, encoder: nn.Module, width: int, hidden: int, classes: int = 2) -> None:
        super().__init__()
        self.encoder, self.attention, self.head = encoder, GatedAttention(width, hidden), nn.Linear(width, classes)

    def forward(self, x: Tensor, kept: Tensor | None = None) -> Tensor:
        h = self.encoder(x)
        out: Tensor = self.head(embedded(h, self.attention(h), kept))
        return out


def extreme(score: Tensor, share: float, *, highest: bool = True) -> Tensor:
    """The ceil(share M) instances of each bag that score highest, or lowest; of equals the earlier one; [N, M] -> [N, M] bool"""
    count = math.ceil(share * score.shape[-1] - 1e-9)  # 0.1 * 30 is 3, whatever its last bit
    order = score.argsort(dim=-1, descending=highest, stable=True)[..., :count]
    return torch.zeros_like(score, dtype=torch.bool).scatter(-1, order, True)


def drawn(among: Tensor, share: float) -> Tensor:
    """Of the instances of each bag that are among those, ceil(share n) at random; [N, M] bool -> [N, M] bool"""
    luck = torch.rand(among.shape, device=among.device).masked_fill(~among, 2.0)
    most = (share * among.sum(-1, keepdim=True).double()).sub(1e-9).ceil()
    return among & (luck.argsort(-1).argsort(-1) < most)
