"""A world is all that a method may see of its problem."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from understudy.core.batch import Batch
from understudy.core.errors import nearest, refuse

if TYPE_CHECKING:
    from understudy.core.run import Run

Optimiser = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]  # functools.partial(torch.optim.Adam, lr=...)
View = Callable[[Any], Any]
W = TypeVar("W", bound="World")


@dataclass(frozen=True)
class Player:
    """Who moves, and how. schedule: step -> factor of the learning rate, a pure function; clip: the gradient's largest norm."""

    optimiser: Optimiser
    schedule: Callable[[int], float] | None = None
    clip: float | None = None


def sgd(lr: float = 0.1, momentum: float = 0.9, weight_decay: float = 0.0) -> Optimiser:
    """SGD as a world is handed it: a maker of optimisers, not an optimiser."""
    return functools.partial(torch.optim.SGD, lr=lr, momentum=momentum, weight_decay=weight_decay)


@dataclass
class World:
    """Rows, networks, hard loss, episodes, score. It remembers nothing: the same step gives the same rows.

    seed: of the order of rows. size: training rows. batch: rows a process and step. steps: the budget of student updates. rank,
    ranks: this process among those that share the run; `rows` gives a process its own part. views: what 'student' and 'teacher'
    see of an input (normalisation, a crop), applied on the way in. task: what the student is for, a name in `understudy.tasks`.
    metric: what `score` is; share: whether it is a share of 1, which is told in points of a hundred. split: which rows a world
    that observes is scored on, 'test' or 'valid'. parts: in how many parts the rows of a step are learned from, one behind the other:
    memory for a part, an update for all.
    """

    seed: int = 0
    size: int = 0
    batch: int = 32
    steps: int = 300
    rank: int = 0
    ranks: int = 1
    task: str = "classify"
    metric: str = "accuracy"
    share: bool = True
    split: str = "test"
    parts: int = 1
    player: Player = field(default_factory=lambda: Player(sgd()))
    views: Mapping[str, View] = field(default_factory=dict)

    @property
    def epoch(self) -> int:
        """Steps in which all processes together see as many rows as there are; at least 1."""
        return max(1, -(-self.size // (self.batch * self.ranks)))

    def student(self) -> nn.Module:
        """A new one at every call, from the current random stream."""
        raise NotImplementedError

    def teacher(self) -> nn.Module | None:
        return None

    def rows(self, step: int, split: str = "train") -> Batch:
        """The rows of this step: x [N, ...], y [N] (-1 = hidden; NaN in regression), row [N] (its number among `size` training
        rows). Never the test split."""
        raise NotImplementedError

    def source(self, run: Run) -> Batch:
        """What a method that doesn't say otherwise learns from at this step: the rows."""
        return run.rows()

    def weight(self, batch: Batch) -> float | None:
        """How much a batch's losses are means of, where it isn't rows: tokens, say. Processes and parts of a step count by it, so that
        the mean is over all that was used. None: rows, as many for each process."""
        return None

    def sweep(self) -> Iterator[Batch]:
        """Every training row once, in any order, the same for all processes: for what a method must know beforehand."""
        raise NotImplementedError

    def phase(self, step: int) -> int:
        """Which task of a sequence the rows of this step are from, counted from 0 and never falling; a world of one task has one."""
        return 0

    def play(self, actor: nn.Module, x: Tensor) -> Batch:
        """Whole episodes: what the actor did and what it was worth."""
        raise NotImplementedError

    def hard(self, out: Tensor, batch: Batch) -> Tensor:
        """The loss without any teacher, mean over labelled rows; -> []."""
        raise NotImplementedError

    def soft(self, out: Tensor, target: Tensor, t: float) -> Tensor:
        """The plainest loss towards a teacher's answer, of the task's own kind; -> []."""
        raise NotImplementedError

    def both(self, out: Any, target: Any, batch: Batch, hard: float, soft: float, t: float) -> dict[str, Tensor]:
        """{'hard': hard times `hard(out, batch)`, 'soft': soft times `soft(out, target, t)`}, in one pass where a world can."""
        return {"hard": hard * self.hard(out, batch), "soft": soft * self.soft(out, target, t)}

    def observe(self, made: Callable[[], nn.Module | Batch], step: int) -> float | None:
        """Scored while it learns: what the artefact is worth after `step` steps, before it sees the rows of the next; None where
        there is nothing to note. Called between all steps and at the end; `made()` builds the artefact, so ask for it when needed.

        A stream is scored on each batch that arrives, a sequence of tasks at the end of each. The score of such a run is the mean
        of what was observed (`Run.worth`). The test split is open here, and what is seen reaches no method.
        """
        return None

    def validate(self, artefact: nn.Module | Batch) -> float:
        """On rows kept for choosing; higher is better."""
        raise NotImplementedError

    def score(self, artefact: nn.Module | Batch) -> float:
        """On rows that no method sees; higher is better."""
        raise NotImplementedError


def recast(world: W, **parts: Any) -> W:
    """The same world with some of it replaced: `recast(world, teacher=lambda: stored, steps=20)`. Raises `Refused` on what it lacks."""
    for name, value in parts.items():
        if isinstance(getattr(type(world), name, None), property):
            raise refuse(f"world.{name}", value, "nothing: it follows from other parts", "change those")
        if not hasattr(world, name):
            raise refuse(f"world.{name}", value, f"a part of {type(world).__name__}{nearest(name, dir(world))}")
    new = copy.copy(world)
    vars(new).update(parts)
    return new
