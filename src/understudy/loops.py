"""A method's loss in somebody else's loop."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core.batch import Batch, rows_in
from understudy.core.errors import refuse
from understudy.core.method import Method
from understudy.core.run import start
from understudy.core.world import View, World
from understudy.data.address import whole
from understudy.tasks import task as named


@dataclass
class Loop(World):
    """A world whose rows come from outside: all that is known of them beforehand is one batch."""

    example: Batch = field(default_factory=Batch)
    learner: nn.Module = field(default_factory=nn.Identity)
    guide: nn.Module | None = None

    def student(self) -> nn.Module:
        return self.learner

    def teacher(self) -> nn.Module | None:
        return self.guide

    def rows(self, step: int, split: str = "train") -> Batch:
        return self.example

    def sweep(self) -> Iterator[Batch]:
        raise refuse(
            "method",
            "sweep",
            "a method that meets its rows as they come",
            "this one looks at all training rows beforehand: use understudy.distill",
        )

    def hard(self, out: Tensor, batch: Batch) -> Tensor:
        return named(self.task).hard(out, batch.y)

    def soft(self, out: Tensor, target: Tensor, t: float) -> Tensor:
        return named(self.task).soft(out, target, t)


class Criterion(nn.Module):
    """`loss, terms = criterion(x, y)`: the student itself and whatever else the method trains are its parameters, so one optimiser
    over `criterion.parameters()` moves all, and `DistributedDataParallel(criterion)` sees all. Call `after_step()` behind every
    update. The teacher is a frozen copy that follows to other devices and is neither among the parameters nor saved.

    x, y: a batch like those to come, for its shapes. steps: the budget, for schedules. size: training rows, for methods that
    remember them (their batches need `row`, each row's number). views: what 'student' and 'teacher' see of x.
    Raises `Refused` for methods with rows, players or students of their own making, which need a loop of ours.
    """

    def __init__(self, method: Method, student: nn.Module, teacher: nn.Module | None, x: Any, y: Tensor, *, steps: int = 1, size: int = 0,
                 task: str = "classify", seed: int = 0, views: Mapping[str, View] | None = None) -> None:  # fmt: skip
        super().__init__()
        if not isinstance(method, Method):
            raise refuse("method", method, "a configured method", "for instance understudy.methods.kd()")
        if not isinstance(student, nn.Module):
            raise refuse("student", student, "a network", "understudy.models.load makes one of an address")
        named(task)
        steps, labels = whole("steps", steps, 1, 2**62), len(y)
        if not labels or (isinstance(x, (Tensor, dict)) and rows_in(x) != labels):
            raise refuse("y", labels, "a label a row of x, and at least one", "give a batch like those to come")
        if any(type(m).source is not Method.source for m in getattr(method, "methods", (method,))):
            raise refuse(
                "method",
                method.name,
                "a method that learns from rows as they come",
                "this one makes its own: use understudy.distill",
            )
        place = next((p.device for p in student.parameters()), torch.device("cpu"))
        teacher = teacher if teacher is None else copy.deepcopy(teacher).to(place)
        row = torch.arange(len(y), device=y.device)
        world = Loop(seed=seed, size=size or len(y), steps=steps, task=task, views=views or {}, example=Batch(x=x, y=y, row=row).to(place), learner=student,
                     guide=teacher)  # fmt: skip
        modes = [(m, m.training) for m in student.modules()]
        self.run = start(method, world, seed, device=place)
        for m, mode in modes:
            m.training = mode
        if len(self.run.players) > 1 or self.run["student"] is not student:
            raise refuse(
                "method", method.name, "a method with one player, which moves the student as it is", "use understudy.distill"
            )
        self.student = student
        self.own = nn.ModuleDict({k: net for k, net in self.run.nets.items() if k not in ("student", "teacher")})
        self.step: Tensor
        self.register_buffer("step", torch.zeros((), dtype=torch.long))
        self.register_load_state_dict_post_hook(_resumed)

    def forward(self, x: Any, y: Tensor, row: Tensor | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to go down, and its terms by name (detached)."""
        self.run.device = y.device
        batch = Batch(x=x, y=y) if row is None else Batch(x=x, y=y, row=row)
        terms = self.run.method.loss(self.run, batch)
        total = sum(terms.values())  # type: ignore[arg-type]
        assert isinstance(total, Tensor)
        return total, {k: v.detach() for k, v in terms.items() if isinstance(v, Tensor)}

    @torch.no_grad()
    def after_step(self, x: Any = None, y: Tensor | None = None) -> None:
        """An update is over: moving averages move, schedules go on. x, y: its batch, for methods that keep rows."""
        self.run.method.after_step(self.run, Batch(x=x, y=y) if x is not None else Batch())
        self.run.step += 1
        self.step += 1

    def train(self, mode: bool = True) -> Criterion:
        """Who learns is in training mode; who doesn't never is."""
        super().train(mode)
        for net in self.own.values():
            net.train(mode and any(p.requires_grad for p in net.parameters()))
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Criterion:
        super()._apply(fn, recurse)
        if "teacher" in self.run.nets:
            self.run.nets["teacher"]._apply(fn, recurse)
        return self


def _resumed(criterion: nn.Module, _keys: Any) -> None:
    assert isinstance(criterion, Criterion)
    criterion.run.step = int(criterion.step)
