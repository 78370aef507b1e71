"""What a run found: teacher, student and the student alone, on rows that nobody learned from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from understudy.report.earlier import Earlier
from understudy.report.shares import is_share

BINS = 15
CLASSES = 1000  # more are a vocabulary, and nobody reads a table of it


@dataclass(frozen=True)
class Timing:
    """Milliseconds of a call of so many rows: median and quartiles of the calls that counted."""

    runtime: str
    batch: int
    median: float
    low: float
    high: float
    calls: int


@dataclass(frozen=True)
class Measured:
    """One model: its score (higher is better), other metrics, and what it costs; latency_ms is the median for one row, flops those of
    one row (`report.costs.flops`)."""

    name: str
    score: float
    metrics: Mapping[str, float]
    parameters: int
    bytes: int
    latency_ms: float
    flops: int | None = None
    timings: tuple[Timing, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """The method as the report tells it: equation as text, paper 'arXiv:...' or 'doi:...', config as plain values."""

    name: str
    equation: str
    paper: str
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Rows:
    """The data: rows of each split, and the names of the classes and of a table's columns (empty where there are none)."""

    name: str
    splits: Mapping[str, int]
    classes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bin:
    """Decisions whose confidence lies in (low, high]: how many, how sure on average, how often right."""

    low: float
    high: float
    rows: int
    confidence: float
    right: float


@dataclass(frozen=True)
class Examined:
    """Numbers of the test arrays. calibration: expected calibration error in [0, 1]; by_class: agreement for each class;

    rmse and r2: regression only. None where the arrays don't tell.
    """

    calibration_teacher: float | None = None
    calibration_student: float | None = None
    by_class: tuple[float | None, ...] = ()
    rmse_teacher: float | None = None
    rmse_student: float | None = None
    r2_teacher: float | None = None
    r2_student: float | None = None


@dataclass(frozen=True)
class Findings:
    """A finished run. The test arrays are optional and are not written to JSON; what was read from them (`examined`) is.

    agreement: share of test rows where student and teacher decide the same, in [0, 1] (regression: R2 of the student against the
    teacher, at most 1); see `agreement`. alone: the same student trained as long without the teacher. history: rows of
    metrics.jsonl. teacher_out, student_out: [N, C] (or [N, T, C]; regression [N] or [N, 1]); y: [N] ([N, T]; multilabel [N, C]),
    -1 or NaN hidden. x: the rows themselves: pictures [N, 1 or 3, H, W] or [N, H, W], texts, or numbers [N, D]. seconds: of
    training. origin: hashes of what went in and came out (`report.origin`); files: bytes on disk of what can be deployed; earlier:
    runs of the same task on the same rows (`report.earlier`).
    """

    title: str
    method: Recipe
    task: str
    metric: str
    data: Rows
    teacher: Measured
    student: Measured
    alone: Measured | None
    agreement: float
    seconds: float
    environment: Mapping[str, str]
    command: str
    onnx_difference: float | None = None
    examined: Examined | None = None
    origin: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, int] = field(default_factory=dict)
    earlier: Sequence[Earlier] = field(default=(), compare=False, repr=False)
    history: list[dict[str, float]] = field(default_factory=list, compare=False, repr=False)
    teacher_out: Tensor | None = field(default=None, compare=False, repr=False)
    student_out: Tensor | None = field(default=None, compare=False, repr=False)
    y: Tensor | None = field(default=None, compare=False, repr=False)
    x: Tensor | list[str] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.examined is None:
            found = Examined()
            if self.teacher_out is not None and self.student_out is not None:
                found = examine(self.task, self.teacher_out, self.student_out, self.y)
            object.__setattr__(self, "examined", found)

    @property
    def numbers(self) -> Examined:
        """What the test arrays said."""
        assert self.examined is not None
        return self.examined

    @property
    def retention(self) -> float | None:
        """The student's score over the teacher's; None where that isn't a share (a score that isn't positive)."""
        return self.student.score / self.teacher.score if self.teacher.score > 0 and self.student.score >= 0 else None

    @property
    def gain(self) -> float | None:
        """What the teacher was worth: the student's score above the same student alone, in the metric's unit."""
        return None if self.alone is None else self.student.score - self.alone.score

    @property
    def noise(self) -> float | None:
        """One standard error of a difference between two accuracies on this many test rows; None for other metrics."""
        n = self.data.splits.get("test", 0)
        share = self.student.score
        return math.sqrt(2 * share * (1 - share) / n) if n and self.metric == "accuracy" and 0 <= share <= 1 else None

    @property
    def kind(self) -> str | None:
        """What a row is: 'image', 'text' or 'table'; None where no rows are at hand."""
        if isinstance(self.x, list):
            return "text"
        if self.x is None:
            return None
        picture = self.x.ndim == 3 or (self.x.ndim == 4 and self.x.shape[1] in (1, 3))
        return "image" if picture and self.x.shape[-1] > 3 else "table" if self.x.is_floating_point() else "text"

    @property
    def share(self) -> bool:
        """Whether the score is a share in [0, 1], to be read as per cent."""
        return all(is_share(self.metric, m.score) for m in (self.teacher, self.student, self.alone) if m)

    def to_json(self) -> str:
        """The summary: everything but history and arrays."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.compare}
        return json.dumps({k: asdict(v) if hasattr(v, "__dataclass_fields__") else v for k, v in plain.items()}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Findings:
        """What `to_json` wrote, without history and arrays."""
        plain = json.loads(text)
        plain["method"] = Recipe(**plain["method"])
        plain["data"] = Rows(**plain["data"] | {k: tuple(plain["data"].get(k, ())) for k in ("classes", "columns")})
        plain["examined"] = Examined(**plain["examined"] | {"by_class": tuple(plain["examined"]["by_class"])})
        for who in ("teacher", "student", "alone"):
            m = plain[who]
            plain[who] = m and Measured(**m | {"timings": tuple(Timing(**t) for t in m.get("timings", ()))})
        return cls(**plain)


def examine(task: str, teacher: Tensor, student: Tensor, y: Tensor | None = None) -> Examined:
    """Every number that the test arrays give; shapes as in `Findings`."""
    if task == "regress":
        if y is None:
            return Examined()
        (rmse_t, r2_t), (rmse_s, r2_s) = (_errors(out, y) for out in (teacher, student))
        return Examined(rmse_teacher=rmse_t, rmse_student=rmse_s, r2_teacher=r2_t, r2_student=r2_s)
    calibration = [None if y is None else calibration_error(task, out, y) for out in (teacher, student)]
    return Examined(calibration[0], calibration[1], agreement_by_class(task, teacher, student, y))


def agreement(task: str, teacher: Tensor, student: Tensor) -> float:
    """Share of decisions that are the same, in [0, 1]; for regression R2 of the student against the teacher, at most 1."""
    if task == "regress":
        return _errors(student, teacher)[1]
    return float((probabilities(task, teacher).argmax(-1) == probabilities(task, student).argmax(-1)).double().mean())


def agreement_by_class(task: str, teacher: Tensor, student: Tensor, y: Tensor | None = None) -> tuple[float | None, ...]:
    """Agreement among the decisions of each class (its true one, or the teacher's where y is None; multilabel: each label).

    None for a class that doesn't occur; nothing at all for more than 1000 classes.
    """
    classes = teacher.shape[-1]
    if classes > CLASSES:
        return ()
    p, q = (probabilities(task, out).argmax(-1) for out in (teacher, student))
    of = p if y is None else y.cpu().flatten().long()
    if task == "multilabel":
        of = torch.arange(classes).repeat(len(p) // classes)
    seen = of >= 0
    rows = torch.bincount(of[seen], minlength=classes)
    same = torch.bincount(of[seen & (p == q)], minlength=classes)
    return tuple(s / n if n else None for s, n in zip(same.tolist(), rows.tolist(), strict=True))


def reliability(task: str, out: Tensor, y: Tensor) -> list[Bin]:
    """Decisions in 15 equal bins of confidence, (0, 1/15] ... (14/15, 1]; hidden labels left out, empty bins too."""
    confidence, guess = probabilities(task, out).max(-1)
    y = y.cpu().flatten()
    seen = torch.isfinite(y) & (y >= 0)
    return binned(confidence[seen], guess[seen] == y[seen])


def binned(confidence: Tensor, right: Tensor) -> list[Bin]:
    """Decisions [N], how sure and whether right, in 15 equal bins of confidence; empty ones left out."""
    right = right.double()
    which = (confidence * BINS).ceil().long().clamp(1, BINS) - 1
    bins = []
    for i in range(BINS):
        own = which == i
        if own.any():
            bins.append(Bin(i / BINS, (i + 1) / BINS, int(own.sum()), float(confidence[own].mean()), float(right[own].mean())))
    return bins


def calibration_error(task: str, out: Tensor, y: Tensor) -> float | None:
    """Expected calibration error: sum over the bins of `reliability` of (rows / all rows) * |right - confidence|, in [0, 1].

    Confidence is the largest probability. Equal-width bins as in Guo et al. (arXiv:1706.04599). None without labelled rows.
    """
    return gap(reliability(task, out, y))


def gap(bins: Sequence[Bin]) -> float | None:
    """How far sureness and being right are apart, over all bins; None without any."""
    rows = sum(b.rows for b in bins)
    return sum(b.rows * abs(b.right - b.confidence) for b in bins) / rows if rows else None


def confusion(task: str, teacher: Tensor, student: Tensor) -> Tensor:
    """Counts [C, C]: how often the teacher decided for the row's class and the student for the column's."""
    p, q = probabilities(task, teacher), probabilities(task, student)
    classes = p.shape[-1]
    return torch.bincount(p.argmax(-1) * classes + q.argmax(-1), minlength=classes**2).reshape(classes, classes)


def distance(task: str, teacher: Tensor, student: Tensor) -> Tensor:
    """How differently the two answer, [N] for each row: KL(teacher, student) + KL(student, teacher) in nats, summed over a row's
    decisions; for regression the absolute difference."""
    if task == "regress":
        # in two dimensions both: [N] against [N, 1] would broadcast
        t, s = (out.detach().cpu().double().reshape(len(out), -1) for out in (teacher, student))
        return (t - s).abs().sum(1)
    p, q = (probabilities(task, out).clamp_min(1e-12) for out in (teacher, student))
    return ((p - q) * (p.log() - q.log())).sum(-1).reshape(len(teacher), -1).sum(1)


def probabilities(task: str, out: Tensor) -> Tensor:
    """Decisions as probabilities [M, C], in double precision: one for each row, token, or (multilabel, C = 2) row and label."""
    out = out.detach().cpu().double()
    if task == "multilabel":
        yes = out.sigmoid().flatten()
        return torch.stack([1 - yes, yes], -1)
    return out.flatten(0, -2).softmax(-1)


def _errors(out: Tensor, y: Tensor) -> tuple[float, float]:
    """Root mean squared error, and R2 (0 where y doesn't vary), over what isn't NaN."""
    out, y = out.detach().cpu().double().flatten(), y.detach().cpu().double().flatten()
    seen = torch.isfinite(y)
    out, y = out[seen], y[seen]
    left, spread = (out - y).square().mean(), (y - y.mean()).square().mean()
    return float(left.sqrt()), float(1 - left / spread) if spread > 0 else 0.0
