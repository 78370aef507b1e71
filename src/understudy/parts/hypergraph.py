"""Hyperedges: groups of any size of the rows of a batch, as pairs [2, I] of (row, hyperedge), in any order."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from understudy.parts.divergence import wide


def means(x: Tensor, pairs: Tensor, groups: int) -> Tensor:
    """The mean over each group's members, 0 for a group without any; [N, D], [2, I] -> [groups, D]"""
    member, group = pairs
    size = x.new_zeros(groups).index_add(0, group, x.new_ones(len(group))).clamp(min=1)
    return x.new_zeros(groups, x.shape[1]).index_add(0, group, x[member]) / size[:, None]


def log_means(log_p: Tensor, pairs: Tensor, groups: int) -> Tensor:
    """log of the mean of e^x over each group's members, of which there is at least one; safe where every e^x is 0 in floating
    point; [N, C], [2, I] -> [groups, C]"""
    member, group = pairs
    x = wide(log_p)[member]
    top = x.new_full((groups, x.shape[1]), -torch.inf).scatter_reduce(0, group[:, None].expand_as(x), x.detach(), "amax")
    total = x.new_zeros(groups, x.shape[1]).index_add(0, group, (x - top[group]).exp())
    size = x.new_zeros(groups).index_add(0, group, x.new_ones(len(group)))
    return total.log() + top - size.log()[:, None]


def pooled_kl(p_logits: Tensor, q_logits: Tensor, pairs: Tensor, groups: int) -> Tensor:
    """KL(mean over members of softmax(p) || the same of softmax(q)), one value a hyperedge; [N, C], [N, C], [2, I] -> [groups]"""
    p, q = (log_means(wide(z).log_softmax(-1), pairs, groups) for z in (p_logits, q_logits))
    return (p.exp() * (p - q)).sum(-1)


def reliability(calm: Tensor, shaken: Tensor, pairs: Tensor, groups: int) -> Tensor:
    """1 - d / max d, d how far a hyperedge's mean entropy moves when the features are shaken (Feng et al. 2024, eq. 5 and 6); all 1
    where nothing moves; entropies [N] calm, [draws, N] shaken -> [groups]"""
    d = means((shaken - calm).T, pairs, groups).abs().mean(-1)
    return 1 - d / d.max().clamp(min=torch.finfo(d.dtype).tiny)


def touching(pairs: Tensor, rows: Tensor, nodes: int, least: int = 2) -> tuple[Tensor, Tensor]:
    """Of all hyperedges, what a batch of these rows holds of them: (row's place in the batch, hyperedge's place among those kept)
    and the numbers of those kept, which have `least` members in the batch; [2, I], [N] -> [2, J], [groups]"""
    place = torch.full((nodes,), -1).scatter(0, rows, torch.arange(len(rows)))[pairs[0]]
    here = pairs[:, place >= 0]
    count = torch.bincount(here[1], minlength=int(pairs[1].max()) + 1 if pairs.numel() else 0)
    kept = (count >= least).nonzero()[:, 0]
    new = torch.full((len(count),), -1).scatter(0, kept, torch.arange(len(kept)))[here[1]]
    return torch.stack([place[place >= 0], new])[:, new >= 0], kept


class Reliable(nn.Module):
    """Hyperedges by how far they can be relied on; [groups] numbers -> [groups] whether each is taken this time"""

    rho: Tensor

    def __init__(self, rho: Tensor) -> None:
        super().__init__()
        self.register_buffer("rho", rho)

    def forward(self, number: Tensor) -> Tensor:
        return torch.bernoulli(self.rho[number]).bool()
