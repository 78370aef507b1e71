"""The interface of a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor

from understudy.core.batch import each


class Task(ABC):
    """out is what a model says ([N, C] logits, say; a dict where it says several things); y what is true.

    Labels are hidden as -1 where they are whole numbers, as NaN where they aren't. A task that has no meaning for a loss or a
    prediction of a row by itself (control, generation) refuses the question.
    """

    name: str
    metric: str  # the one that chooses; higher is better
    share = True  # whether that is a share of 1, told in points of a hundred

    @abstractmethod
    def hard(self, out: Any, y: Any) -> Tensor:
        """The loss without any teacher, mean over labelled rows, 0 where there are none; -> []."""

    @abstractmethod
    def soft(self, out: Any, target: Any, t: float) -> Tensor:
        """The plainest loss towards a teacher's answer at temperature t, mean over rows; -> []."""

    @abstractmethod
    def predict(self, out: Any) -> Any:
        """What the model would answer; [N, C] -> [N] or [N, C]."""

    @abstractmethod
    def metrics(self, out: Any, y: Any) -> dict[str, float]:
        """Figures over labelled rows by name, the main one first."""

    def hide(self, y: Any, rows: Any) -> Any:
        """A copy of y whose labels in these rows (an index or mask) are hidden."""

        def blank(t: Tensor) -> Tensor:
            t = t.clone()
            t[rows] = float("nan") if t.is_floating_point() else -1
            return t

        return each(y, blank)
