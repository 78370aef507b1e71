"""Rows whose label is known, and labels as probabilities."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def labelled(y: Tensor, *rows: Tensor) -> tuple[Tensor, ...]:
    """The labels that aren't hidden (-1), and the same rows of everything else; [N], [N, ...] ... -> [M], [M, ...] ..."""
    known = y >= 0
    return (y[known], *(r[known] for r in rows))


def told(y: Tensor, p: Tensor) -> Tensor:
    """A label as probabilities where it is known, elsewhere (-1) what is guessed; [N], [N, C] -> [N, C]"""
    known = F.one_hot(y.clamp(min=0), p.shape[-1]).to(p)
    return torch.where((y >= 0)[:, None], known, p)
