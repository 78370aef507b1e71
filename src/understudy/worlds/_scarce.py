"""Rows of which few have labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from understudy.core.batch import Batch, each
from understudy.tasks import task
from understudy.worlds._sealed import Splits
from understudy.worlds.digits import Part
from understudy.worlds.rows import Rows, order


class Scarce(Splits):
    """train, whose first `known` rows have labels while those of the others are hidden, valid, and a test split that is sealed while
    anything learns; without one, at all times."""

    def __init__(self, of: str, known: int, train: Part, valid: Part, test: Part | None = None) -> None:
        super().__init__(Part(train.x, task(of).hide(train.y, slice(known, None))), valid, test)
        self.known = known

    def few(self, of: str, known: int, rows: int) -> Scarce:
        """A few of the labelled rows, as many of the others as make up `rows`, a few for validation."""
        pick = torch.cat([torch.arange(known), torch.arange(self.known, self.known + rows - known)])
        take = lambda part, pick: Part(part.x[pick], each(part.y, lambda t: t[pick]))
        return Scarce(of, known, take(self.train, pick), take(self.valid, torch.arange(16)))


@dataclass
class FewLabels(Rows):
    """A world of `Scarce` data; `portion` of each batch are labelled rows, which come first (at least one), the rest unlabelled."""

    portion: float = 0.5

    def rows(self, step: int, split: str = "train") -> Batch:
        if split != "train":
            return super().rows(step, split)
        known = max(1, round(self.batch * self.portion))
        pick = torch.cat([self._turn(step, "known", 0, self.data.known, known),
                          self._turn(step, "hidden", self.data.known, self.size, self.batch - known)])  # fmt: skip
        return self._taken(pick)

    def _turn(self, step: int, name: str, begin: int, end: int, count: int) -> Tensor:
        """This process's share of this step among rows [begin, end), all of which come once in as many as there are; -> [count]"""
        n, first = end - begin, (step * self.ranks + self.rank) * count
        epochs = range(first // n, (first + max(count, 1) - 1) // n + 1)
        around = torch.cat([order(n, self.seed, e, name) for e in epochs])
        return begin + around[first % n :][:count]

    def _taken(self, pick: Tensor) -> Batch:
        part: Any = self.data.train
        return Batch(x=part.x[pick], y=each(part.y, lambda t: t[pick]), row=pick)
