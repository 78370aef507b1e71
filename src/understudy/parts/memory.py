"""What is remembered about every training row, in buffers: saved, moved and resumed with the run."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from understudy.parts.relation import unit


class Bank(nn.Module):
    """One vector a training row, [rows, dim], uniform within 1 / sqrt(dim / 3) at first, of unit length once written to.

    log_z: logarithm of the constant that its scores are divided by, once `ready`.
    """

    v: Tensor
    log_z: Tensor
    ready: Tensor

    def __init__(self, rows: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("v", (2 * torch.rand(rows, dim) - 1) / math.sqrt(dim / 3))
        self.register_buffer("log_z", torch.zeros(()))
        self.register_buffer("ready", torch.tensor(False))

    def scores(self, v: Tensor, rows: Tensor, t: float) -> Tensor:
        """v_i . memory of each of its rows / t; [N, dim], [N, K] -> [N, K]"""
        return (v @ self.v.to(v.dtype).T).gather(1, rows) / t

    def normaliser(self, scores: Tensor) -> Tensor:
        """log_z, or its estimate from a first batch: log of (memory's rows x mean of e^scores); -> []"""
        first = scores.detach().logsumexp((0, 1)) - math.log(max(scores.numel(), 1)) + math.log(len(self.v))
        return torch.where(self.ready, self.log_z.to(first), first)

    def settle(self, log_z: Tensor) -> None:
        """From now on, scores are divided by this; [] ->"""
        self.log_z.copy_(log_z)
        self.ready.fill_(True)

    def blend(self, rows: Tensor, new: Tensor, momentum: float) -> None:
        """memory <- unit(momentum memory + (1 - momentum) new) at these rows; [N], [N, dim]"""
        self.v[rows] = unit(momentum * self.v[rows] + (1 - momentum) * new.to(self.v))


class Others(nn.Module):
    """Draws training rows of other classes, each as likely as the next; never those with a hidden label."""

    order: Tensor
    start: Tensor
    count: Tensor

    def __init__(self, y: Tensor) -> None:
        """y [rows], -1 where hidden"""
        super().__init__()
        known = y.argsort(stable=True)[(y < 0).sum() :]
        count = torch.bincount(y[known], minlength=1)
        self.register_buffer("order", known)  # rows, class by class
        self.register_buffer("start", count.cumsum(0) - count)
        self.register_buffer("count", count)

    def room(self, y: Tensor) -> Tensor:
        """Rows of other classes than each y, 0 for a hidden one or a class that no row has; [N] -> [N]"""
        within = (y >= 0) & (y < len(self.count))
        return (len(self.order) - self.count[y.clamp(0, len(self.count) - 1)]) * within

    def draw(self, y: Tensor, k: int) -> Tensor:
        """k rows of other classes, with replacement; [N], every one with room -> [N, k]"""
        place = torch.randint(2**62, (len(y), k), device=y.device) % self.room(y)[:, None]
        return self.order[place + self.count[y][:, None] * (place >= self.start[y][:, None])]


class Ring(nn.Module):
    """The last `size` rows that were pushed; [size, width]"""

    rows: Tensor
    seen: Tensor

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(size, width))
        self.register_buffer("seen", torch.tensor(0))

    def push(self, new: Tensor) -> None:
        """[N, width] ->"""
        new, size = new[-len(self.rows) :], len(self.rows)
        self.rows[(int(self.seen) + torch.arange(len(new), device=new.device)) % size] = new.to(self.rows)
        self.seen += len(new)

    def filled(self) -> Tensor:
        """Oldest first; -> [M, width], M <= size"""
        seen, size = int(self.seen), len(self.rows)
        return self.rows[:seen] if seen < size else self.rows.roll(-(seen % size), 0)
