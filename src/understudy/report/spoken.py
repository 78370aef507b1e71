"""What a run of a language model found, as plain data, and the sentences it comes down to."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from understudy.report import words as said
from understudy.report.earlier import Earlier
from understudy.report.findings import Bin
from understudy.report.terminal import Line, Summary
from understudy.report.words import Headline

CAST = ("teacher", "student", "alone", "before")


@dataclass(frozen=True)
class Heard:
    """One model on the test rows: nll in nats a token, accuracy of the likeliest, calibration error in [0, 1] and the bins behind it (None and empty where
    its vocabulary isn't the data's); speed in tokens judged a second; flops of a token of a row."""

    name: str
    nll: float | None
    accuracy: float | None
    calibration: float | None
    parameters: int
    bytes: int
    speed: float
    bins: tuple[Bin, ...] = ()
    flops: int | None = None

    @property
    def perplexity(self) -> float | None:
        return None if self.nll is None else math.exp(min(self.nll, 700))


@dataclass(frozen=True)
class Continuation:
    """Who writes what."""

    who: str
    text: str


@dataclass(frozen=True)
class Said:
    """Continuations of one prompt; true: what stands there in the data, where there is an answer."""

    prompt: str
    true: str
    says: tuple[Continuation, ...]


@dataclass(frozen=True)
class Word:
    """A token of a test row, and KL(teacher || student) in nats where it is to be said; None where it is only read."""

    text: str
    apart: float | None


@dataclass(frozen=True)
class Spoken:
    """A finished run. heard: by 'teacher', 'student', 'alone' and 'before' (the student that hasn't learned); frequency: rows of {from, tokens, <model>:
    nll} by how often a token occurs in training; divergence: mean KL(teacher || student) of a place; cut: documents that lost their end; kind: of the
    student, one of `models.lm.KINDS`; settings: of the training; chance: standard error of the nats between student and alone, over the test rows;
    origin, earlier: as in `findings.Findings`."""

    title: str
    method: str
    equation: str
    paper: str
    config: Mapping[str, Any]
    signal: str
    data: str
    rows: Mapping[str, int]
    tokens: Mapping[str, int]
    cut: int
    heard: Mapping[str, Heard]
    agreement: float | None
    divergence: float | None
    samples: list[Said] = field(default_factory=list)
    words: list[tuple[Word, ...]] = field(default_factory=list)
    frequency: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    command: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    kind: str = "causal"
    settings: Mapping[str, Any] = field(default_factory=dict)
    chance: float | None = None
    origin: Mapping[str, str] = field(default_factory=dict)
    earlier: Sequence[Earlier] = field(default=(), compare=False, repr=False)

    @property
    def kept(self) -> float | None:
        """The teacher's perplexity over the student's: the share of the teacher's probability that the student gives a token that stands there, as a
        geometric mean. None where they can't be compared."""
        return _over(self.heard.get("teacher"), self.heard["student"])

    @property
    def gain(self) -> float | None:
        """Nats a token below the student alone."""
        alone, student = self.heard.get("alone"), self.heard["student"]
        return None if alone is None or alone.nll is None or student.nll is None else alone.nll - student.nll

    def to_json(self) -> str:
        """All of it but earlier runs, as plain data."""
        return json.dumps({k: v for k, v in asdict(self).items() if k != "earlier"}, indent=1)


def _over(one: Heard | None, other: Heard | None) -> float | None:
    """The perplexity of one over the other's."""
    if one is None or other is None or one.nll is None or other.nll is None:
        return None
    return math.exp(max(-700.0, min(one.nll - other.nll, 700.0)))


# ----------------------------------------------------------------------------------------------------------------------- in words


def perplexity(value: float | None) -> str:
    """Two decimals, fewer where it is large."""
    if value is None:
        return "–"
    digits = 2 if value < 100 else 1 if value < 1000 else 0
    return f"{value:,.{digits}f}" if value < 1e6 or math.isnan(value) else f"{value:.1e}"


def headline(f: Spoken) -> Headline:
    """What the student says as well as its teacher, and costs. Where it is no better than alone, that is what comes first."""
    student, teacher, alone, before = (f.heard.get(who) for who in ("student", "teacher", "alone", "before"))
    assert student is not None
    facts = [_stands(student, teacher, before)]
    kept, gain, learned = f.kept, f.gain, _over(before, student)
    good = gain > 0 if gain is not None else kept > 0.5 if kept is not None else learned is None or learned > 1
    if gain is not None and alone is not None and not good:
        worse = "no better than" if gain == 0 else "worse than"
        both = f"perplexity {perplexity(student.perplexity)} against {perplexity(alone.perplexity)}"
        facts.insert(0, f"{worse} training on the text alone: {both}, so the teacher did not help")
    if f.agreement is not None:
        facts.append(f"agreement {said.percent(f.agreement)}")
    if f.divergence is not None:
        facts.append(f"KL {f.divergence:.3f} nats a token")
    if student.calibration is not None:
        facts.append(f"calibration error {said.percent(student.calibration)}")
    return Headline(good, facts[0], tuple(facts[1:]))


def _stands(student: Heard, teacher: Heard | None, before: Heard | None) -> str:
    told = f"perplexity {perplexity(student.perplexity)}"
    if teacher is None:
        return told + (f", {perplexity(before.perplexity)} before it learned" if before else "")
    told += (
        f" against the teacher's {perplexity(teacher.perplexity)}" if teacher.nll is not None else " (the teacher's vocabulary is another)"
    )  # fmt: skip
    if student.parameters and teacher.parameters:
        told += f" in {said.percent(student.parameters / teacher.parameters)} of its size"
    return told + (f", {said.speed(student.speed / teacher.speed)}" if student.speed > 0 and teacher.speed > 0 else "")


def gain(f: Spoken) -> str | None:
    """What the teacher was worth, with how much of that chance can do."""
    alone, student = f.heard.get("alone"), f.heard["student"]
    if f.gain is None or alone is None:
        return None
    where = "below" if f.gain > 0 else "above" if f.gain < 0 else "from"
    noise = "" if f.chance is None else f"; the test rows leave ± {f.chance:.3f} (a standard error)"
    both = f"perplexity {perplexity(student.perplexity)} against {perplexity(alone.perplexity)}"
    return (
        f"{abs(f.gain):.3f} nats a token {where} the same student trained on the text alone ({both}), same budget, one run{noise}"
    )


def summary(f: Spoken, folder: Path | None = None) -> RenderableType:
    """Teacher, student and the student alone in a line each, the headline, and the files."""
    lines = [
        Line(
            who,
            "another vocabulary" if m.nll is None else f"perplexity {perplexity(m.perplexity)}",
            m.parameters,
            m.bytes,
            f"{m.speed:,.0f} tokens/s",
        )
        for who, m in ((who, f.heard[who]) for who in ("teacher", "student", "alone") if who in f.heard)
    ]
    files = Text(f"{folder}/student/  report.html  findings.json", "dim", overflow="fold") if folder else None
    return Summary(lines, headline(f), files, f.title)
