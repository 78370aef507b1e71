"""Students that fit a budget, built and measured but not trained, and which of them to take."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from understudy.advice.budget import Budget, Cost, Limit, measure
from understudy.advice.situation import access
from understudy.core.errors import Refused, refuse
from understudy.core.run import seen_by
from understudy.core.seeds import stream
from understudy.export.measure import parameters

if TYPE_CHECKING:
    from understudy.job import Job

WIDTHS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
LADDERS: dict[str, dict[str, dict[str, tuple[int, ...]]]] = {  # kind of rows -> reference network -> its numbers to try
    "image": {"tiny-cnn": {"width": WIDTHS}, "tiny-resnet": {"width": WIDTHS[2:], "depth": (1, 2)}, "tiny-mlp": {"width": WIDTHS, "depth": (2,)}},
    "table": {"tiny-mlp": {"width": WIDTHS, "depth": (1, 2, 3)}},
    "text": {"tiny-bilstm": {"width": WIDTHS[2:]}, "text-cnn": {"width": WIDTHS[2:], "depth": (1, 2)}},
}  # fmt: skip
FAMILY = 3  # of one kind of network, the largest so many are looked at closely
STARTS = 3  # random starts that a similarity is the mean of
NEAR = 0.5  # of the largest fitting one's parameters: smaller ones are passed over


@dataclass(frozen=True)
class Candidate:
    """A student by address, what it costs, and how like the teacher it is before training (`methods.diswot`; at most 0, higher is better; None
    where teacher or student has no maps to compare)."""

    address: str
    cost: Cost
    similarity: float | None = None


def candidates(job: Job, budget: Budget) -> list[Candidate]:
    """Reference networks for these rows that fit, the one to take first; at least one. Raises `Refused` where none fits, with the least that
    would.

    Of each kind of network the three largest that fit stay, and of those none with less than half the parameters of the largest. Among them
    the one goes first that is most like the teacher before training, where both have maps; else the largest.
    """
    fitting: list[Candidate] = []
    least: Candidate | None = None
    for family in LADDERS[job.data.kind].items():
        mine: list[Candidate] = []
        for address in _addresses(*family):
            cost = _cost(job, address, timed=False)
            if cost is None:
                continue
            found = Candidate(address, cost)
            least = found if least is None or cost.params < least.cost.params else least
            if not budget.missed(cost):
                mine.append(found)
        mine.sort(key=lambda c: -c.cost.params)
        fitting += [c for c in mine if budget.most("latency") is None or not budget.missed(_timed(job, c))][:FAMILY]
    if not fitting:
        assert least is not None
        missed = "; ".join(budget.missed(_timed(job, least))) or "none can be built for these rows"
        raise refuse("budget", str(budget), f"room for one of the reference networks (the smallest is {least.address}: {missed})",
                     "raise it, or name a student of your own")  # fmt: skip
    most = max(c.cost.params for c in fitting)
    timed = [Candidate(c.address, _timed(job, c)) for c in fitting if c.cost.params >= NEAR * most]
    ranked = _similar(job, timed)
    return sorted(ranked, key=lambda c: (-math.inf if c.similarity is None else c.similarity, c.cost.params), reverse=True)


def any_of(kind: str) -> str:
    """A student for such rows, to begin with."""
    return next(iter(LADDERS[kind]))


def usual(job: Job) -> Budget:
    """Where nothing was said: a tenth of the teacher's parameters; 10,000 where it isn't a network."""
    return Budget((Limit("params", parameters(job.teacher) // 10 or 10_000),))


def given(job: Job) -> Candidate:
    """The job's own student, measured."""
    cost = measure(seen_by(job.world.student(), "student", job.world), job.example)
    return Candidate(job.config.student, cost)


def _addresses(name: str, numbers: dict[str, tuple[int, ...]]) -> Iterator[str]:
    depths = numbers.get("depth", (0,))
    for width in numbers["width"]:
        for depth in depths:
            yield f"{name}?width={width}" + (f"&depth={depth}" if depth else "")


def _build(job: Job, address: str) -> Any:
    from understudy import models

    with stream("candidate", address):
        return models.load(address, data=job.data)


def _cost(job: Job, address: str, *, timed: bool) -> Cost | None:
    try:
        made = _build(job, address)
    except Refused:
        return None
    x = job.data.valid.x[:1]
    return measure(made.net, x if made.view is None else made.view(x), timed=timed)


def _timed(job: Job, c: Candidate) -> Cost:
    return c.cost if c.cost.latency else _cost(job, c.address, timed=True) or c.cost


def _similar(job: Job, found: list[Candidate]) -> list[Candidate]:
    """With their similarity, where rows are pictures and the teacher is a network with maps."""
    if job.data.kind != "image" or job.data.task != "classify" or access(job.teacher) != "inside":
        return found
    from understudy.core.registry import get
    from understudy.parts.proxy import gap, reborn

    method: Any = get("diswot")(rows=64)
    x = job.world.data.train.x[: method.rows] if isinstance(job.world.data.train.x, torch.Tensor) else None
    if x is None:
        return found
    try:
        with stream("similarity"):
            asked = [method.seen(seen_by(reborn(job.teacher), "teacher", job.world), method.teacher_at, x) for _ in range(STARTS)]
    except Refused:
        return found
    ranked = []
    for c in found:
        far = []
        try:
            for i, one in enumerate(asked):
                made = _build(job, c.address)
                with stream("similarity", c.address, i):
                    net = reborn(made.net)
                other = method.seen(net, method.student_at, x if made.view is None else made.view(x))
                far.append(sum(gap(u, s) for u, s in zip(one, other, strict=True)))
        except Refused:
            ranked.append(c)
            continue
        ranked.append(Candidate(c.address, c.cost, -sum(far) / len(far)))
    return ranked
