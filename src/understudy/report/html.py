"""The report: one HTML file that needs nothing else, with a page's worth of what the run found."""

from __future__ import annotations

import base64
import math
import os
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from understudy.core.files import write_atomically
from understudy.report import pictures, words
from understudy.report.findings import CLASSES, Findings, confusion, distance, probabilities
from understudy.report.page import Figure, Frame, duration, render_page

DIFFERING = 12


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


def write_report(f: Findings, path: str | os.PathLike[str]) -> Path:
    """Write the page atomically."""
    return write_atomically(path, render(f))


def render(f: Findings) -> str:
    """The page as text: no scripts, nothing fetched, every word from outside escaped."""
    left = "smaller" if pictures.sized(f) else "faster"
    figures: list[Figure] = [
        ("The frontier", f"Up is better, left is {left}; a bigger dot is slower.", pictures.frontier(f)),
        (
            "Learning",
            "Each term of the loss, and the score on the validation rows.",
            pictures.curves(f),
        ),
        ("Agreement by class", "How often the student decides as the teacher does" + _least(f), pictures.by_class(f)),
        ("Calibration", "On the dotted line a model is right as often as it is sure; below, less.", pictures.calibration(f)),
        ("Predicted and true", "On the dotted line a prediction is exact.", pictures.scatter(f)),
    ]
    about = [("data", f.data.name), *((f"{split} rows", f"{n:,}") for split, n in f.data.splits.items())]
    about += [("classes", str(len(f.data.classes)))] if f.data.classes else []
    about += [("task", f.task), ("trained for", duration(f.seconds))]
    if f.onnx_difference is not None:
        about.append(("ONNX against PyTorch", f"at most {f.onnx_difference:.0e} apart"))
    frame = Frame(f.title, words.headline(f), _tiles(f), figures, f.method, f.command, [*about, *f.environment.items()])
    own = {
        "f": f,
        "words": words,
        "gain": words.gain(f),
        "models": [m for m in (f.teacher, f.student, f.alone) if m],
        "names": list(dict.fromkeys(k for m in (f.teacher, f.student) for k in m.metrics if k != f.metric)),
        "differing": differing(f),
        "parted": parted(f),
    }
    return render_page("report.html.j2", frame, own)


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


def _tiles(f: Findings) -> list[tuple[str, str]]:
    tiles = [] if f.retention is None else [(words.percent(f.retention), "of the teacher kept")]
    if f.student.parameters and f.teacher.parameters:
        tiles.append((words.percent(f.student.parameters / f.teacher.parameters), "of its size"))
    if f.student.latency_ms > 0 and f.teacher.latency_ms > 0:
        faster = f.teacher.latency_ms / f.student.latency_ms
        tiles.append((f"{words.times(max(faster, 1 / faster))}x", "faster a row" if faster >= 1 else "slower a row"))
    regress = f.task == "regress"
    tiles.append((f"{f.agreement:.3f}", "R² against the teacher") if regress else (words.percent(f.agreement), "agreement"))
    if f.numbers.calibration_student is not None:
        tiles.append((words.percent(f.numbers.calibration_student), "calibration error"))
    if f.gain is not None:
        tiles.append((words.points(f, f.gain).split()[0], f"{'points' if f.share else f.metric} over alone"))
    return tiles


def _least(f: Findings) -> str:
    many = sum(share is not None for share in f.numbers.by_class) > pictures.MOST_CLASSES
    return f"; the {pictures.MOST_CLASSES} classes where it does least." if many else "."


def _shown(f: Findings, i: int) -> str:
    if isinstance(f.x, list):
        return f.x[i] if len(f.x[i]) <= 280 else f.x[i][:279] + "…"
    assert f.x is not None
    row: Tensor = f.x[i]
    if f.kind == "image":
        return "data:image/png;base64," + base64.b64encode(pictures.thumbnail(row)).decode()
    values = row.flatten().tolist()
    return ("  ".join(f"{v:.4g}" for v in values[:12])) + (f"  … {len(values)} in all" if len(values) > 12 else "")


def _true(f: Findings, i: int) -> str | None:
    if f.y is None or f.task == "multilabel" or f.y[i].numel() != 1:
        return None
    y = f.y[i].item()
    if math.isnan(y) or (y < 0 and f.task != "regress"):
        return None
    return f"{y:.4g}" if f.task == "regress" else _name(f, int(y))


def _answer(f: Findings, who: str, out: Tensor, i: int) -> Answer:
    row = out[i].detach().cpu()
    if f.task == "regress":
        return Answer(who, "  ".join(f"{v:.4g}" for v in row.flatten().tolist()), None)
    if f.task == "multilabel":
        return Answer(who, ", ".join(_name(f, int(c)) for c in (row > 0).nonzero().flatten()) or "none", None)
    p = probabilities(f.task, row[None])
    if len(p) > 1:
        return Answer(who, " ".join(_name(f, int(c)) for c in p.argmax(-1)[:40]), None)
    return Answer(who, _name(f, int(p.argmax())), float(p.max()))


def _name(f: Findings, c: int) -> str:
    return f.data.classes[c] if c < len(f.data.classes) else str(c)
