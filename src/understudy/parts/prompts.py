"""A prompt and what follows it, as one row of a language model."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def followed(prompt: Tensor, said: Tensor) -> tuple[Tensor, Tensor]:
    """x, the row without its last token, and y, the next tokens where `said` is to be learned and -1 elsewhere.

    said is -1 after its end; what a causal model reads there is 0 and reaches nothing before. [N, Q], [N, R] -> [N, Q+R-1] twice
    """
    x = torch.cat([prompt, said[:, :-1].clamp(min=0)], 1)
    return x, torch.cat([torch.full_like(prompt[:, 1:], -1), said], 1)


def answered(y: Tensor) -> tuple[Tensor, Tensor]:
    """Where a row's prompt is, the places before its first answer, and whether it has one; [N, L] -> bool [N, L], bool [N]"""
    return (y >= 0).cumsum(1) == 0, (y >= 0).any(1)


def run_around(marked: Tensor, place: Tensor) -> Tensor:
    """Of the marked tokens those that stand together with the one at `place`, none if that isn't marked; [N, L], [N] -> [N, L]"""
    group, here = (~marked).cumsum(1), place[:, None]
    return marked & (group == group.gather(1, here)) & marked.gather(1, here)


def without(drop: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The same rows with the dropped tokens cut out and the rest moved up, as if they never had been written: what is cut out
    of x stands behind the end, where y is -1. bool [N, L], [N, L], [N, L] -> [N, L], [N, L]"""
    order = drop.long().argsort(dim=1, stable=True)
    return x.gather(1, order), y.masked_fill(drop, -1).gather(1, order)


class Cuts(nn.Module):
    """drop [rows, L]: what is cut out of each training row, by its number."""

    drop: Tensor

    def __init__(self, row: Tensor, drop: Tensor) -> None:
        """row [M], drop [M, L]"""
        super().__init__()
        kept = torch.zeros(int(row.max()) + 1, drop.shape[1], dtype=torch.bool)
        kept[row] = drop
        self.register_buffer("drop", kept)
