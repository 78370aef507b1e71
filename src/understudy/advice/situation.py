"""What there is: task, rows, labels, teacher, student. The validation and training rows are looked at, the test rows never are."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from understudy.core.batch import each
from understudy.core.errors import refuse
from understudy.core.run import seen_by
from understudy.export.measure import parameters
from understudy.report.findings import agreement, calibration_error, probabilities
from understudy.tasks import task
from understudy.worlds.rows import answers

if TYPE_CHECKING:
    from understudy.job import Job

ROWS = 2000  # of a split that are looked at, at most
LADDER = tuple(2 ** (i / 4) for i in range(17))  # temperatures 1 to 16 in quarter octaves


@dataclass(frozen=True)
class Situation:
    """task, metric; kind: 'image', 'text' or 'table'. rows, hidden: training rows, and how many of them have no label. valid: validation
    rows. passes: how often the student is to see a training row; optimiser: by which it learns. classes: 0 in regression. access: 'inside' (a torch network), 'answers' (scikit-learn, an endpoint) or 'stored'.

    teacher_params: 0 where it isn't a network; student_params: None where no student is chosen yet. On validation rows: score and begins
    (the student's at its first weights) in the task's metric; calibration (ECE), confidence (mean largest probability) and entropy (of the
    softened answers, over that of equal shares, at each temperature of `LADDER`), all in [0, 1] and None or empty in regression. taught:
    the teacher's score on labelled training rows. beside: agreement of student and teacher before training. luck: the accuracy of
    always naming the commonest class. margin: standard deviation of the teacher's logits within a row, mean over rows.
    """

    task: str
    metric: str
    kind: str
    rows: int
    hidden: int
    valid: int
    passes: float
    optimiser: str
    classes: int
    access: str
    teacher: str
    teacher_params: int
    student_params: int | None
    score: float
    taught: float | None
    begins: float | None = None
    beside: float | None = None
    calibration: float | None = None
    confidence: float | None = None
    luck: float | None = None
    margin: float | None = None
    entropy: tuple[float, ...] = ()

    @property
    def labelled(self) -> int:
        return self.rows - self.hidden

    @property
    def gap(self) -> float | None:
        """How many times the student's parameters the teacher has; None where either isn't known."""
        return self.teacher_params / self.student_params if self.teacher_params and self.student_params else None

    def entropy_at(self, t: float) -> float:
        """Of the softened answers at the temperature of the ladder that is nearest."""
        return self.entropy[min(range(len(LADDER)), key=lambda i: abs(math.log(LADDER[i] / t)))]

    @property
    def share(self) -> bool:
        """Whether the metric is a share of 1."""
        return task(self.task).share

    def said(self) -> Iterator[tuple[str, str]]:
        """What was seen, in words, by name."""
        score = lambda v: f"{100 * v:.1f} %" if self.share else f"{v:.4g}"
        yield "task", f"{self.task}, {f'{self.classes} classes, ' if self.classes else ''}{self.kind} rows"
        hidden = f", {self.hidden:,} of them without a label" if self.hidden else ", all labelled"
        yield (
            "rows",
            f"{self.rows:,} to learn from{hidden}; each seen {self.passes:.0f} times; {self.valid:,} to choose with; the test rows weren't looked at",
        )
        inside = {"inside": f"a network of {self.teacher_params:,} parameters that can be looked into", "answers": "answers, and can't be looked into",
                  "stored": "stored answers"}  # fmt: skip
        yield "teacher", f"{self.teacher}: {inside[self.access]}"
        against = "" if self.taught is None else f", {score(self.taught)} on labelled training rows"
        chance = "" if self.luck is None else f"; the commonest class has {score(self.luck)}"
        yield "its " + self.metric, f"{score(self.score)} on validation rows{against}{chance}"
        if self.calibration is not None and self.confidence is not None:
            yield "its sureness", f"{100 * self.confidence:.0f} % on average; calibration error {100 * self.calibration:.1f} %"
        if self.entropy:
            levels = ", ".join(f"{100 * self.entropy_at(t):.0f} % at t={t:g}" for t in (1.0, 2.0, 4.0, 8.0))
            yield "its answers' entropy", f"{levels} (of equal shares)"
        if self.student_params:
            times = f", 1/{self.gap:.0f} of the teacher's" if self.gap and self.gap >= 2 else ""
            yield "student", f"{self.student_params:,} parameters{times}"
        if self.begins is not None and self.beside is not None:
            yield (
                "before training",
                f"it has {score(self.begins)} and "
                + (
                    f"R2 of {self.beside:.2f} with the teacher"
                    if self.task == "regress"
                    else f"agrees with the teacher on {100 * self.beside:.0f} % of rows"
                ),
            )


def look(job: Job, *, student: bool = True) -> Situation:
    """What there is, as a planned job with a taught teacher has it. student: whether its student is the one to be taught.

    Raises `Refused` where the task is none of classify, multilabel and regress."""
    world, data = job.world, job.data
    if world.task not in ("classify", "multilabel", "regress"):
        raise refuse("task", world.task, "classify, multilabel or regress", "for language models see the guide to them")
    teacher = job.teacher
    x, y = _some(world.data.valid)
    out = answers(teacher, x)
    tx, ty = _some(world.data.train)
    known = data.train.labelled
    seen = known[: len(ty)]
    taught = task(world.task).metrics(answers(teacher, tx)[seen], ty[seen])[world.metric] if seen.any() else None
    more: dict[str, Any] = {}
    if student:
        net = seen_by(world.student(), "student", world)
        begun = answers(net, x)
        more |= {"student_params": parameters(net), "begins": task(world.task).metrics(begun, y)[world.metric],
                 "beside": agreement(world.task, out, begun)}  # fmt: skip
    if world.task != "regress":
        more |= _sureness(world.task, out, y)
    if world.task == "classify":
        counts = torch.bincount(y[y >= 0])
        more |= {"luck": float(counts.max() / counts.sum().clamp(min=1)), "margin": float(out.double().std(1).mean())}
    return Situation(**{"student_params": None} | {
        "task": world.task, "metric": world.metric, "kind": data.kind, "rows": world.size, "hidden": int((~known).sum()),
        "valid": len(data.valid), "passes": world.steps * world.batch * world.ranks / max(world.size, 1), "optimiser": job.config.training.optimiser, "classes": 0 if world.task == "regress" else data.outputs, "access": access(teacher),
        "teacher": job.config.teacher, "teacher_params": parameters(teacher),
        "score": task(world.task).metrics(out, y)[world.metric], "taught": taught} | more)  # fmt: skip


def access(teacher: nn.Module) -> str:
    """How far a teacher can be looked into: 'inside', 'answers' or 'stored'."""
    if hasattr(teacher, "read"):
        return "stored"
    return "inside" if any(True for _ in teacher.parameters()) else "answers"


def _sureness(kind: str, out: Tensor, y: Tensor) -> dict[str, Any]:
    p = probabilities(kind, out)
    return {"calibration": calibration_error(kind, out, y), "confidence": float(p.max(-1).values.mean()),
            "entropy": tuple(_entropy(probabilities(kind, out / t)) for t in LADDER)}  # fmt: skip


def _entropy(p: Tensor) -> float:
    """Mean over decisions, of equal shares 1; [M, C] ->"""
    return float(-(p * p.clamp_min(1e-12).log()).sum(-1).mean() / math.log(p.shape[-1]))


def _some(split: Any) -> tuple[Any, Tensor]:
    return each(split.x, lambda t: t[:ROWS]), split.y[:ROWS]
