"""The rows on which student and teacher part, as a reader sees them."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass

from torch import Tensor

from understudy.report import words
from understudy.report.drawing import thumbnail
from understudy.report.findings import CLASSES, Findings, confusion, distance, probabilities

DIFFERING, SHOWN = 12, 12  # rows, and numbers of a row


@dataclass(frozen=True)
class Answer:
    who: str
    says: str
    share: float | None  # how sure, in [0, 1]


@dataclass(frozen=True)
class Differing:
    """A row on which student and teacher part; `shown` is text, or a PNG as a data address."""

    index: int
    kind: str | None
    shown: str
    true: str | None
    answers: tuple[Answer, ...]


def differing(f: Findings, most: int = DIFFERING) -> list[Differing]:
    """The rows on which the two answer most differently, the worst first; rows that they share entirely are left out."""
    if f.teacher_out is None or f.student_out is None or f.x is None:
        return []
    apart = distance(f.task, f.teacher_out, f.student_out)
    worst = [int(i) for i in apart.argsort(descending=True)[:most] if apart[i] > 0]
    outs = (("teacher", f.teacher_out), ("student", f.student_out))
    return [Differing(i, f.kind, _shown(f, i), _true(f, i), tuple(_answer(f, who, out, i) for who, out in outs)) for i in worst]


def parted(f: Findings, most: int = 5) -> list[tuple[str, str, int]]:
    """The commonest disagreements: what the teacher decided, what the student did, how often."""
    if f.task in ("regress", "multilabel") or f.teacher_out is None or f.student_out is None or f.teacher_out.shape[-1] > CLASSES:
        return []
    counts = confusion(f.task, f.teacher_out, f.student_out).fill_diagonal_(0)
    top = counts.flatten().topk(min(most, counts.numel()))
    return [(_name(f, int(i) // len(counts)), _name(f, int(i) % len(counts)), int(n)) for n, i in zip(*top, strict=True) if n > 0]


def _shown(f: Findings, i: int) -> str:
    if isinstance(f.x, list):
        return f.x[i] if len(f.x[i]) <= 280 else f.x[i][:279] + "…"
    assert f.x is not None
    row: Tensor = f.x[i]
    if f.kind == "image":
        return "data:image/png;base64," + base64.b64encode(thumbnail(row)).decode()
    values, names = row.flatten().tolist(), f.data.columns
    named = len(names) == len(values)
    told = [f"{names[j]} {words.number(v)}" if named else words.number(v) for j, v in enumerate(values[:SHOWN])]
    return (" · " if named else "  ").join(told) + (f" … {len(values)} in all" if len(values) > SHOWN else "")


def _true(f: Findings, i: int) -> str | None:
    if f.y is None or f.task == "multilabel" or f.y[i].numel() != 1:
        return None
    y = f.y[i].item()
    if math.isnan(y) or (y < 0 and f.task != "regress"):
        return None
    return words.number(y) if f.task == "regress" else _name(f, int(y))


def _answer(f: Findings, who: str, out: Tensor, i: int) -> Answer:
    row = out[i].detach().cpu()
    if f.task == "regress":
        return Answer(who, "  ".join(words.number(v) for v in row.flatten().tolist()), None)
    if f.task == "multilabel":
        return Answer(who, ", ".join(_name(f, int(c)) for c in (row > 0).nonzero().flatten()) or "none", None)
    p = probabilities(f.task, row[None])
    if len(p) > 1:
        return Answer(who, " ".join(_name(f, int(c)) for c in p.argmax(-1)[:40]), None)
    return Answer(who, _name(f, int(p.argmax())), float(p.max()))


def _name(f: Findings, c: int) -> str:
    return f.data.classes[c] if c < len(f.data.classes) else str(c)
