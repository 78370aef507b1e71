"""Rows on their way to a loss: named tensors, and what each model is to see of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from understudy.core.errors import Refused


class Lacks(Refused, AttributeError):
    """A batch hasn't what a method asks of it: the world isn't of its kind."""


class Views(dict[str, Any]):
    """One input as several models see it: `Views(student=ids, teacher=other_ids)`; a network takes its own on the way in."""

    def of(self, name: str) -> Any:
        """What the network `name` sees; networks without a view of their own see the student's."""
        return self[name] if name in self else self["student"]


class Batch(dict[str, Any]):
    """Named tensors: x, y (-1 or NaN = hidden), and whatever a source adds (reward, mask ...); `batch.x` is `batch["x"]`.

    A value is a tensor, a dict of tensors (a tokenizer's output) or `Views`.
    """

    def __getattr__(self, name: str) -> Any:
        if name not in self:
            raise Lacks(
                f"this batch has {sorted(self)}, not '{name}': the method is for another kind of rows (`understudy show` names its world)"
            )
        return self[name]

    def to(self, device: torch.device) -> Batch:
        return Batch({k: each(v, lambda t: t.to(device)) for k, v in self.items()})

    def split(self, parts: int) -> list[Batch]:
        """The same rows in at most so many batches of nearly the same size, in order."""
        rows = len(self)
        cuts = sorted({i * rows // parts for i in range(parts + 1)})

        def part(a: int, b: int) -> Batch:
            return Batch({k: each(v, lambda t: t[a:b] if t.dim() and len(t) == rows else t) for k, v in self.items()})

        return [part(a, b) for a, b in itertools.pairwise(cuts)]

    def __len__(self) -> int:
        """Rows, not names."""
        return 0 if not super().__len__() else rows_in(next(iter(self.values())))

    def __bool__(self) -> bool:
        return super().__len__() > 0


def each(value: Any, f: Callable[[Tensor], Tensor]) -> Any:
    """f over every tensor inside a value, whatever holds it."""
    if isinstance(value, Tensor):
        return f(value)
    if isinstance(value, dict):
        return type(value)({k: each(v, f) for k, v in value.items()})
    return value.each(f) if hasattr(value, "each") else value  # what holds tensors of its own kind, such as lazy logits


def rows_in(value: Any) -> int:
    """The number of rows of a tensor, or of the first tensor inside."""
    return len(value) if isinstance(value, Tensor) else rows_in(next(iter(value.values())))
