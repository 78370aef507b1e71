"""What the figures show, as tables: for readers who can't see them, and for those who want the numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from understudy.report import words
from understudy.report.findings import CLASSES, Findings, confusion, reliability
from understudy.report.judged import mixed_up
from understudy.report.pictures import pulled
from understudy.report.spoken import CAST, Spoken, perplexity

Table = tuple[Sequence[str], Sequence[Sequence[str]]]  # names of columns; rows
NOTHING: Table = ((), ())
MOST = 10  # points of a curve


def frontier(f: Findings) -> Table:
    """This run and earlier ones: score, share of the teacher's, size, latency."""
    models = [
        (who, m.name, m.score, m.bytes, m.latency_ms)
        for who, m in (("teacher", f.teacher), ("student", f.student), ("alone", f.alone))
        if m
    ]
    before = [(e.method, f"{e.student} · {e.run}", e.score, e.bytes, e.slow) for e in f.earlier]
    kept = lambda score: words.percent(score / f.teacher.score) if f.retention is not None else "–"
    rows = [(f"{who}: {name}", words.score(f, score), kept(score), words.size(size) if size else "–", words.milliseconds(ms))
            for who, name, score, size, ms in (*models, *before)]  # fmt: skip
    return ("model", f.metric, "of the teacher", "size", "one row"), rows


def spoken_frontier(f: Spoken) -> Table:
    models = [(who, m.name, perplexity(m.perplexity), m.bytes, m.speed) for who in CAST if (m := f.heard.get(who)) is not None]
    before = [(e.method, f"{e.student} · {e.run}", perplexity(e.score), e.bytes, 1 / e.slow) for e in f.earlier]
    rows = [(f"{who}: {name}", shown, words.size(size), f"{speed:,.0f}") for who, name, shown, size, speed in (*models, *before)]
    return ("model", "perplexity", "size", "tokens a second"), rows


def curves(history: Sequence[Mapping[str, float]], shown: Callable[[float], str]) -> Table:
    """Each term of the loss and the validation rows' judgement, at some steps."""
    terms = sorted({k for row in history for k in row if k.startswith("loss/")})
    if not terms:
        return NOTHING
    now: dict[str, float] = {}
    rows = []
    for point in history:
        now |= point
        if "valid" in point or not any("valid" in p for p in history):
            judged = shown(now["valid"]) if "valid" in now else "–"
            rows.append((f"{point['step']:,}", *(f"{now[k]:.4g}" if k in now else "–" for k in terms), judged))
    return ("step", *(k.removeprefix("loss/") for k in terms), "validation"), some(rows)


def gradients(history: Sequence[dict[str, float]]) -> Table:
    at, shares = pulled(history)
    rows = [(f"{step:,.0f}", *(words.percent(float(values[i])) for values in shares.values())) for i, step in enumerate(at)]
    return ("step", *shares), some(rows)


def by_class(f: Findings) -> Table:
    rows = [(_name(f, c), words.percent(share)) for c, share in enumerate(f.numbers.by_class) if share is not None]
    return ("class", "agreement"), rows[:100]


def confused(f: Findings) -> Table:
    if f.task in ("regress", "multilabel") or f.teacher_out is None or f.student_out is None or f.teacher_out.shape[-1] > CLASSES:
        return NOTHING
    counts = confusion(f.task, f.teacher_out, f.student_out).numpy()
    classes = mixed_up(counts)
    return ("teacher \\ student", *(_name(f, c) for c in classes)), [
        (_name(f, i), *(str(counts[i, j]) for j in classes)) for i in classes
    ]


def calibration(f: Findings) -> Table:
    if f.y is None or f.teacher_out is None or f.student_out is None or f.numbers.calibration_student is None:
        return NOTHING
    return bins({"teacher": reliability(f.task, f.teacher_out, f.y), "student": reliability(f.task, f.student_out, f.y)})


def bins(heard: Mapping[str, Sequence[Any]]) -> Table:
    """Decisions by how sure a model is: how many of them, and how many are right."""
    places = sorted({(b.low, b.high) for own in heard.values() for b in own})
    cells = {who: {(b.low, b.high): f"{words.percent(b.right)} of {b.rows:,}" for b in own} for who, own in heard.items()}
    rows = [(f"{100 * p[0]:.0f} to {100 * p[1]:.0f} %", *(cells[who].get(p, "–") for who in heard)) for p in places]
    return ("how sure", *(f"{who} is right" for who in heard)), rows


def some(rows: Sequence[Any]) -> Sequence[Any]:
    """Evenly spread, the first and the last among them."""
    last = len(rows) - 1
    return rows if last < MOST else [rows[round(i * last / (MOST - 1))] for i in range(MOST)]


def _name(f: Findings, c: int) -> str:
    return f.data.classes[c] if c < len(f.data.classes) else str(c)
