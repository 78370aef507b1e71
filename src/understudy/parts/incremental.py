"""A head whose classes come one after another."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from understudy.core.errors import TapError
from understudy.core.taps import anatomy, module_at

CLOSED = -1e9  # the logit of a class that hasn't come yet; finite, so that no loss is NaN where none has


def classifier(net: nn.Module, x: Any) -> nn.Linear:
    """The linear layer that gives a network's logits. Raises `TapError` where there is none."""
    found = module_at(net, anatomy(net, x).penultimate.removesuffix(":in"))
    if not isinstance(found, nn.Linear):
        raise TapError(f"{type(net).__name__} has no last linear layer: a head with a row of weights a class is needed")
    return found


class Classes(nn.Module):
    """Which classes have come (`known`), and which of them before the present phase (`old`); [C] each"""

    known: Tensor
    old: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("known", torch.zeros(classes, dtype=torch.bool))
        self.register_buffer("old", torch.zeros(classes, dtype=torch.bool))

    def now(self, y: Tensor) -> Tensor:
        """Those known, and those among these labels; [N] -> [C]"""
        return self.known.index_fill(0, y[y >= 0], True)

    def meet(self, y: Tensor) -> None:
        """From now on, these labels' classes are known; [N] ->"""
        self.known.copy_(self.now(y))

    def turn(self) -> None:
        """A phase is over: what is known is old."""
        self.old.copy_(self.known)


def only(logits: Tensor, classes: Tensor) -> Tensor:
    """The logits of these classes, the others closed; [N, C], [C] -> [N, C]"""
    return logits.masked_fill(~classes, CLOSED)


class Open(nn.Module):
    """A network that answers with the classes that have come; [N, ...] -> [N, C]"""

    def __init__(self, inner: nn.Module, classes: Classes) -> None:
        super().__init__()
        self.inner, self.classes = inner, classes

    def forward(self, x: Any) -> Tensor:
        return only(self.inner(x), self.classes.known)


@torch.no_grad()
def align_(weight: Tensor, old: Tensor, new: Tensor) -> float:
    """Scale the new classes' weight vectors so that their mean norm is that of the old ones' (Zhao et al., 2020), and
    say by what; nothing happens where one side is empty; [C, D], [C], [C]"""
    if not (old.any() and new.any()):
        return 1.0
    norm = torch.linalg.vector_norm(weight, dim=1)
    factor = norm[old].mean() / norm[new].mean().clamp(min=1e-12)
    weight[new] *= factor
    return float(factor)
