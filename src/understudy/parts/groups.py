"""Rows that fall into groups: what holds in each of them, and how often each is drawn from."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def means(values: Tensor, group: Tensor, groups: int) -> Tensor:
    """The mean of the values of each group, 0 where it has none; [T], [T] -> [groups]"""
    total = values.new_zeros(groups).index_add(0, group, values)
    count = values.new_zeros(groups).index_add(0, group, torch.ones_like(values))
    return total / count.clamp(min=1)


def discrepancy(student: Tensor, teacher: Tensor, most: float = 50.0) -> Tensor:
    """How many times as perplexed the student is as the teacher, from their cross-entropies in nats; at most e^`most`; [D], [D] -> [D]"""
    return (student - teacher).clamp(max=most).exp()


def smoothed(share: Tensor, ratio: Tensor, alpha: float) -> Tensor:
    """alpha psi / sum psi + (1 - alpha) / D with psi = share exp(ratio), the shares of the next interval in DDK (Liu et al. 2024, eq. 2);
    [D], [D] -> [D]"""
    return alpha * (share.log() + ratio).softmax(-1) + (1 - alpha) / len(share)


class Groups(nn.Module):
    """Row numbers by group, and the share of the draws that each group has: equal ones at first; buffers, so they are saved with the run."""

    row: Tensor
    first: Tensor
    size: Tensor
    share: Tensor

    def __init__(self, row: Tensor, group: Tensor) -> None:
        super().__init__()
        size = torch.bincount(group)
        self.register_buffer("row", row[group.argsort(stable=True)])
        self.register_buffer("first", size.cumsum(0) - size)
        self.register_buffer("size", size)
        self.register_buffer("share", torch.full((len(size),), 1 / len(size)))

    def draw(self, share: Tensor, n: int) -> Tensor:
        """n rows with replacement: a group by its share, then any of its rows; [D] -> [n]"""
        group = torch.multinomial(share * (self.size > 0), n, replacement=True)
        within = (torch.rand(n, device=share.device, dtype=torch.double) * self.size[group]).long()
        drawn: Tensor = self.row[self.first[group] + within]
        return drawn
