"""A world of rows in memory: what a user's own models and data become."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from understudy.core.batch import Batch, Views, each, rows_in
from understudy.core.errors import refuse
from understudy.core.seeds import stream
from understudy.core.world import Player, World, recast, sgd
from understudy.parts.change import Change
from understudy.tasks import task


class Split(Protocol):
    """x: a tensor [N, ...], a dict of them, or `Views`; y [N] or [N, C]."""

    @property
    def x(self) -> Any: ...
    @property
    def y(self) -> Tensor: ...


class Data(Protocol):
    """Three splits; reading `test` while something learns raises `Sealed`."""

    @property
    def train(self) -> Split: ...
    @property
    def valid(self) -> Split: ...
    @property
    def test(self) -> Split: ...


@dataclass
class Rows(World):
    """Rows of `data` in batches of `batch` a process, every row once in as many rows as there are, in an order keyed by the seed.

    new_student: makes one at every call; given_teacher: handed out as it is (methods freeze a copy). The k-th of R processes takes
    the k-th part of a batch of R x batch rows, so R processes see what one with the R-fold batch sees. scale: the unit in which a
    regression's errors are squared, so that a loss doesn't hang on the unit of its target. pupils: fresh students that a made data set is judged by.
    augment: training pictures come in so many views, one an epoch in turn; a stored teacher tells by which numbers it saw them.
    """

    data: Any = None
    new_student: Callable[[], nn.Module] = field(default=nn.Identity)
    given_teacher: nn.Module | None = None
    scale: float = 1.0
    pupils: int = 3
    augment: Change = field(default_factory=Change)

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise refuse("batch", self.batch, "a whole number of 1 or more")
        self.size = rows_in(self.data.train.x)
        self.metric, self.share = task(self.task).metric, task(self.task).share

    def student(self) -> nn.Module:
        return self.new_student()

    def teacher(self) -> nn.Module | None:
        return self.given_teacher

    def rows(self, step: int, split: str = "train") -> Batch:
        if split not in ("train", "valid"):
            raise refuse("split", split, "'train' or 'valid'", "the test split is for the score")
        rows = self.data.train if split == "train" else self.data.valid
        n, size = rows_in(rows.x), self.batch * self.ranks
        first = step * size + self.rank * self.batch
        epochs = range(first // n, (first + self.batch - 1) // n + 1)
        pieces = [order(n, self.seed, e, split)[max(first - e * n, 0) : first + self.batch - e * n] for e in epochs]
        batch = _take(rows, torch.cat(pieces))
        if split == "train" and self.augment.views:
            self._change(
                batch, torch.cat([torch.full((len(p),), e % self.augment.views) for e, p in zip(epochs, pieces, strict=True)])
            )
        return batch

    def _change(self, batch: Batch, number: Tensor) -> None:
        """The views of these numbers, [N], in place of the pictures."""
        x, stored = batch.x, getattr(self.given_teacher, "seen", None)
        if not isinstance(x, Tensor):
            raise refuse(
                "augment.views", self.augment.views, "0 where the two models read rows in ways of their own", "leave it out"
            )
        seen = self.augment.seen(x, self.augment.drawn(x, number) if stored is None else stored(x, number))
        batch["x"] = seen if stored is None else Views(student=seen, teacher={"row": x, "view": number})

    def sweep(self) -> Iterator[Batch]:
        for part in torch.arange(self.size).split(256):
            yield _take(self.data.train, part)

    def hard(self, out: Tensor, batch: Batch) -> Tensor:
        return (
            task(self.task).hard(out, batch.y)
            if self.scale == 1
            else task(self.task).hard(out / self.scale, batch.y / self.scale)
        )

    def soft(self, out: Tensor, target: Tensor, t: float) -> Tensor:
        return (
            task(self.task).soft(out, target, t)
            if self.scale == 1
            else task(self.task).soft(out / self.scale, target / self.scale, t)
        )

    def validate(self, artefact: nn.Module | Batch) -> float:
        return self.measure(artefact, self.data.valid)[task(self.task).metric]

    def score(self, artefact: nn.Module | Batch) -> float:
        return self.measure(artefact, self.data.test)[task(self.task).metric]

    def measure(self, made: nn.Module | Batch, split: Split) -> dict[str, float]:
        """The task's metrics of a network on a split; of a data set, their means over `pupils` fresh students that it taught."""
        if isinstance(made, nn.Module):
            return task(self.task).metrics(answers(made, split.x), split.y)
        marks = [self.measure(taught(self, made, seed), split) for seed in range(self.pupils)]
        return {k: sum(m[k] for m in marks) / len(marks) for k in marks[0]}


def _take(rows: Split, pick: Tensor) -> Batch:
    return Batch(x=each(rows.x, lambda t: t[pick]), y=each(rows.y, lambda t: t[pick]), row=pick)


@functools.lru_cache(maxsize=16)
def order(n: int, seed: int, epoch: int, split: str) -> Tensor:
    """The rows of an epoch in their order; -> [n]"""
    with stream(seed, epoch, split, "order"):
        return torch.randperm(n)


@torch.no_grad()
def answers(net: nn.Module, x: Any, name: str = "", size: int = 512) -> Tensor:
    """What a network says of all rows, chunk by chunk, in evaluation mode; -> [N, C] on the CPU.

    name: whose view of the input it takes where it has no view of its own (a network that never was in a run).
    """
    device = next((p.device for p in net.parameters()), torch.device("cpu"))
    before = [(m, m.training) for m in net.modules()]
    net.eval()
    try:
        mine = x.of(name) if name and isinstance(x, Views) else x
        chunks = (each(mine, lambda t, i=i: t[i : i + size].to(device)) for i in range(0, rows_in(mine), size))
        said = (net(chunk) for chunk in chunks)
        return torch.cat([(out if isinstance(out, Tensor) else out.dense()).float().cpu() for out in said])
    finally:
        for m, mode in before:
            m.training = mode


def taught(world: Rows, rows: Batch, seed: int, steps: int = 200) -> nn.Module:
    """A fresh student trained on a small data set alone, all of it at every step; at the step size that came with it (`lr`), if
    one did, a tenth of that in the second half."""
    with stream(world.seed, seed, "pupil"):
        pupil = world.student()
    own = Batch({k: v for k, v in rows.items() if k != "lr"})
    fall = (
        Player(sgd(float(rows.lr), 0.9, 5e-4), lambda step: 1.0 if step < steps // 2 else 0.1) if "lr" in rows else world.player
    )
    return trained(recast(world, rows=lambda step, split="train": Batch(own), player=fall), pupil, steps, seed)


def trained(world: Rows, net: nn.Module, steps: int, seed: int = 0, **how: Any) -> nn.Module:
    """A copy of a network trained on the world's labels alone."""
    from understudy.core.fit import fit
    from understudy.core.registry import get
    from understudy.core.run import artefact, start

    alone = get("alone")()
    made = artefact(fit(start(alone, recast(world, new_student=lambda: copy.deepcopy(net), steps=steps, **how), seed)))
    assert isinstance(made, nn.Module)
    return made
