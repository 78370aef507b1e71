"""Rows that become more, in buffers: saved, moved and resumed with the run."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Pool(nn.Module):
    """x [room, ...] and y [room], of which the first `count` are there; it begins with the rows given. What finds no room is left out."""

    x: Tensor
    y: Tensor
    count: Tensor

    def __init__(self, x: Tensor, y: Tensor, room: int) -> None:
        super().__init__()
        self.register_buffer("x", x.new_zeros(room, *x.shape[1:]))
        self.register_buffer("y", y.new_zeros(room, *y.shape[1:]))
        self.register_buffer("count", torch.tensor(0))
        self.add(x, y)

    def add(self, x: Tensor, y: Tensor) -> None:
        """[N, ...], [N] ->"""
        first, last = int(self.count), min(int(self.count) + len(x), len(self.x))
        self.x[first:last] = x[: last - first]
        self.y[first:last] = y[: last - first]
        self.count.fill_(last)

    def draw(self, n: int) -> tuple[Tensor, Tensor]:
        """n of the rows that are there, with replacement, each as likely as the next; -> [n, ...], [n]"""
        pick = torch.randint(int(self.count), (n,), device=self.x.device)
        return self.x[pick], self.y[pick]
