"""One point a class in a space of features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from understudy.parts.relation import unit


class Prototypes(nn.Module):
    """Class means [C, D] in a buffer; a class of which no row is labelled has none."""

    c: Tensor
    known: Tensor

    def __init__(self, features: Tensor, y: Tensor) -> None:
        """features [M, D], y [M], -1 where hidden"""
        super().__init__()
        use = y >= 0
        count = torch.bincount(y[use], minlength=max(int(y.max()) + 1, 1) if len(y) else 1)
        total = torch.zeros(len(count), features.shape[1], dtype=features.dtype).index_add_(0, y[use], features[use])
        self.register_buffer("c", total / count.clamp(min=1)[:, None])
        self.register_buffer("known", count > 0)

    def nearest(self, f: Tensor) -> Tensor:
        """The prototype in the most similar direction (cosine), which no gradient reaches; [N, D] -> [N, D]"""
        alike = unit(f.detach()).to(self.c) @ unit(self.c).T
        return self.c[alike.masked_fill(~self.known, -torch.inf).argmax(1)].to(f.dtype)


def soft_means(f: Tensor, p: Tensor) -> Tensor:
    """The mean of each class, rows counting as far as they are said to be of it; 0 where nobody is; [N, D], [N, C] -> [C, D]"""
    return (p.T @ f) / p.sum(0).clamp(min=1e-6)[:, None]
