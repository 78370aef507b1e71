"""A few rows of what was learned before, in buffers: saved, moved and resumed with the run."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from understudy.core.errors import refuse


class Exemplars(nn.Module):
    """At most `room` rows, equally many of each class that it met, chosen by lot: each training row has drawn one beforehand and
    the lowest of a class stay, so what is kept is a sample without replacement, however often and in whatever order rows come.

    like: any rows [N, ...]; rows: how many training rows there are. x [room, ...]; y and row [room], -1 where empty.
    """

    x: Tensor
    y: Tensor
    row: Tensor
    lot: Tensor

    def __init__(self, room: int, like: Any, rows: int) -> None:
        super().__init__()
        if not isinstance(like, Tensor):
            raise refuse("x", type(like).__name__, "rows in one tensor [N, ...], which can be kept")
        self.register_buffer("x", like.new_zeros(room, *like.shape[1:]))
        self.register_buffer("y", torch.full((room,), -1))
        self.register_buffer("row", torch.full((room,), -1))
        self.register_buffer("lot", torch.randperm(rows))

    @torch.no_grad()
    def keep(self, x: Tensor, y: Tensor, row: Tensor) -> None:
        """Choose anew among what it has and these; rows whose label is hidden aren't kept; [N, ...], [N], [N] ->"""
        have, use = self.y >= 0, (y >= 0) & ~torch.isin(row, self.row)
        row = torch.cat([self.row[have], row[use]])
        turn = self.lot[row].argsort(stable=True)
        turn = turn[torch.cat([row.new_ones(1), row[turn].diff()])[: len(turn)] != 0]  # a row that came twice counts once
        x, y, row = torch.cat([self.x[have], x[use].to(self.x)])[turn], torch.cat([self.y[have], y[use]])[turn], row[turn]
        if not len(y):
            return
        each = max(len(self.y) // int((y.bincount() > 0).sum()), 1)
        place = F.one_hot(y).cumsum(0).gather(1, y[:, None])[:, 0]  # 1 for the first of its class
        stay = (place <= each).nonzero()[:, 0][: len(self.y)]
        self.clear()
        for mine, new in ((self.x, x), (self.y, y), (self.row, row)):
            mine[: len(stay)] = new[stay]

    def clear(self) -> None:
        """Forget all of them."""
        self.x.zero_()
        self.y.fill_(-1)
        self.row.fill_(-1)

    def draw(self, n: int) -> tuple[Tensor, Tensor]:
        """n of them at most, without replacement; -> x [M, ...], y [M]"""
        have = (self.y >= 0).nonzero()[:, 0]
        pick = have[torch.randperm(len(have), device=have.device)[:n]]
        return self.x[pick], self.y[pick]
