"""Means that follow training, in buffers: saved, moved and resumed with the run."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RunningMeans(nn.Module):
    """A mean of values for each of `classes` classes, of which m stays at every step: tau <- m tau + (1 - m) new.

    A class's first values are its mean at once, and it stays as it is in batches without the class; 0 before the first.
    """

    mean: Tensor
    known: Tensor

    def __init__(self, classes: int, m: float) -> None:
        super().__init__()
        self.m = m
        self.register_buffer("mean", torch.zeros(classes))
        self.register_buffer("known", torch.zeros(classes, dtype=torch.bool))

    def after(self, value: Tensor, k: Tensor) -> Tensor:
        """What the means would be with these values of the classes k; [N], [N] -> [classes]"""
        count = torch.bincount(k, minlength=len(self.mean))
        new = torch.zeros_like(self.mean).index_add_(0, k, value.detach().to(self.mean)) / count.clamp(min=1)
        moved = torch.where(self.known, self.m * self.mean + (1 - self.m) * new, new)
        return torch.where(count > 0, moved, self.mean)

    def add(self, value: Tensor, k: Tensor) -> None:
        """[N], [N] ->"""
        self.mean.copy_(self.after(value, k))
        self.known |= torch.bincount(k, minlength=len(self.mean)) > 0
