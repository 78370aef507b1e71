"""The report: one HTML file that needs nothing else, with a page's worth of what the run found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from understudy.core.files import write_atomically
from understudy.report import costs, gradients, judged, pictures, tables, words
from understudy.report.differing import differing, parted
from understudy.report.findings import Findings, Timing
from understudy.report.page import Figure, Frame, duration, render_page

METERS = "Energy is not measured: without a meter a figure would be a guess. Floating-point operations stand in its place."


def write_report(f: Findings, path: str | os.PathLike[str]) -> Path:
    """Write the page atomically."""
    return write_atomically(path, render(f))


def render(f: Findings) -> str:
    """The page as text: no scripts, nothing fetched, every word from outside escaped."""
    about = [("data", f.data.name), *((f"{split} rows", f"{n:,}") for split, n in f.data.splits.items())]
    about += [("classes", str(len(f.data.classes)))] if f.data.classes else []
    about += [("task", f.task), ("trained for", duration(f.seconds))]
    if f.onnx_difference is not None:
        about.append(("ONNX against PyTorch", f"at most {f.onnx_difference:.0e} apart"))
    frame = Frame(
        f.title, words.headline(f), _tiles(f), _figures(f), f.method, f.command, [*about, *f.environment.items()], f.origin
    )
    cast = [(who, m) for who, m in (("teacher", f.teacher), ("student", f.student), ("alone", f.alone)) if m]
    own = {
        "f": f,
        "words": words,
        "gain": words.gain(f),
        "models": [m for _, m in cast],
        "names": list(dict.fromkeys(k for m in (f.teacher, f.student) for k in m.metrics if k != f.metric)),
        "timed": _timed(cast),
        "measured": _measured(f),
        "differing": differing(f),
        "parted": parted(f),
    }
    return render_page("report.html.j2", frame, own)


def _figures(f: Findings) -> list[Figure]:
    left = "smaller" if pictures.sized(f) else "faster"
    shown = lambda v: words.score(f, v)
    student = words.score(f, f.student.score)
    return [
        Figure("The frontier", f"Up is better, left is {left}; a bigger dot is slower.{words.before(len(f.earlier))}", pictures.frontier(f),
               f"{f.metric} against size: student {student}, teacher {words.score(f, f.teacher.score)}.", tables.frontier(f)),
        Figure("Learning", "Each term of the loss, and the score on the validation rows." + words.skipped(f.history), pictures.curves(f),
               "The terms of the loss and the validation score, step by step.", tables.curves(f.history, shown)),
        pulling(f.history),
        Figure("Agreement by class", "How often the student decides as the teacher does" + _least(f), judged.by_class(f),
               f"Agreement of student and teacher in each class, {words.percent(f.agreement)} over all." if f.task != "regress" else "",
               tables.by_class(f)),
        Figure("Student against teacher", "Test rows by what each of the two decides. On the diagonal they agree.", judged.confused(f),
               "Counts of test rows by the teacher's and the student's decision.", tables.confused(f)),
        Figure("Calibration", "On the dotted line a model is right as often as it is sure; below, less.", judged.calibration(f),
               "How often each model is right against how sure it is.", tables.calibration(f)),
        Figure("Predicted and true", "On the dotted line a prediction is exact.", judged.scatter(f),
               "What student and teacher predict against what is true."),
    ]  # fmt: skip


def pulling(history: list[dict[str, float]]) -> Figure:
    """Each term's share of the gradient, as a figure."""
    return Figure(
        "Which term pulls",
        f"The norm of each term's gradient towards the student, as a share of their sum, looked at up to {gradients.TIMES} times on "
        f"at most {gradients.ROWS} rows.",
        pictures.gradients(history),
        "Shares of the gradients' norms by term, step by step.",
        tables.gradients(history),
    )


def _timed(cast: list[tuple[str, Any]]) -> list[tuple[str, str, list[tuple[str, str, str]]]]:
    """Who, in what, and for each batch: the call, its quartiles, and rows a second."""
    rows = []
    for who, m in cast:
        for runtime in dict.fromkeys(t.runtime for t in m.timings):
            own = {t.batch: t for t in m.timings if t.runtime == runtime}
            cells = [_cell(own.get(batch)) for batch in costs.BATCHES]
            rows.append((who, runtime, cells))
    return rows


def _cell(t: Timing | None) -> tuple[str, str, str]:
    if t is None:
        return ("–", "too slow to try", "")
    rate = f"{1000 * t.batch / max(t.median, 1e-9):,.0f} rows/s"
    return f"{words.exact(t.median)} ms", f"{words.exact(t.low)} to {words.exact(t.high)}", rate


def _measured(f: Findings) -> str:
    """How the costs came about."""
    threads = f.environment.get("threads")
    on = f" on {threads} thread{'s' if threads != '1' else ''}" if threads else ""
    timed = (f"Median and quartiles of up to {costs.CALLS} calls after {costs.WARM} to warm up, all models in turns, in evaluation mode{on}; "
             "half a second for each at most. ")  # fmt: skip
    counted = (
        "FLOPs are those of matrix products, convolutions and attention for one row, two for a multiplication and an addition. "
    )
    return timed + counted + METERS


def _least(f: Findings) -> str:
    many = sum(share is not None for share in f.numbers.by_class) > judged.MOST_CLASSES
    return f"; the {judged.MOST_CLASSES} classes where it does least." if many else "."


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
