"""A data set as parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Synthetic(nn.Module):
    """Rows to be learned, their fixed labels, and the step size that is to be taken on them; x [N, ...], y [N], lr []"""

    y: Tensor

    def __init__(self, x: Tensor, y: Tensor, lr: float) -> None:
        super().__init__()
        self.x, self.lr = nn.Parameter(x.clone()), nn.Parameter(x.new_tensor(lr))
        self.register_buffer("y", y)


def some_of_each(x: Tensor, y: Tensor, classes: int, n: int) -> tuple[Tensor, Tensor]:
    """n rows of each class by chance, noise where there are fewer; [N, ...], [N] (-1 = hidden) -> [classes n, ...], [classes n]"""
    mixed, made = torch.randperm(len(y), device=y.device), torch.randn(classes, n, *x.shape[1:], dtype=x.dtype, device=x.device)
    for c in range(classes):
        found = x[mixed[y[mixed] == c][:n]]
        made[c, : len(found)] = found
    return made.flatten(0, 1), torch.arange(classes, device=y.device).repeat_interleave(n)
