"""Numbers as people read them, and the one sentence a run comes down to."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from understudy.report.findings import Findings
from understudy.report.shares import is_share

TURNS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # of writing from right to left
UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0))


@dataclass(frozen=True)
class Headline:
    """good: the teacher helped or, where nobody asked, at least half of its score was kept; text: what was kept, or plainly that it didn't help; rest: the facts after."""

    good: bool
    text: str
    rest: tuple[str, ...]


def marked(text: object) -> str:
    """Text in which nothing is hidden: for controls, and marks that turn writing around, stands their number, as U+202E."""
    return "".join(
        f"U+{ord(c):04X}" if c in TURNS or (unicodedata.category(c) in ("Cc", "Cs") and not c.isspace()) else c for c in str(text)
    )


def seen(text: object) -> str:
    """`marked`, in one line."""
    return " ".join(marked(text).split())


def percent(share: float) -> str:
    """One decimal; two digits below one per cent, where one decimal would say too little."""
    return f"{100 * share:.2g} %" if 0 < share < 0.00995 else f"{100 * share:.1f} %"


def score(f: Findings, value: float) -> str:
    """A score in the metric's own unit."""
    return percent(value) if f.share else f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"


def other(name: str, value: float) -> str:
    """A metric beside the score: per cent where its name and value say that it's a share."""
    return percent(value) if is_share(name, value) else number(value)


def number(value: float) -> str:
    """Four digits, or whole where it is large."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"


def before(runs: int) -> str:
    """What the grey dots of a frontier are; nothing where there are none."""
    return f" Grey: {runs} earlier run{'s' * (runs > 1)} on the same rows." if runs else ""


def skipped(history: Sequence[Mapping[str, Any]]) -> str:
    """At which steps nothing was learned; nothing where all were learned from."""
    steps = [f"{row['step']:,}" for row in history if "skipped" in row]
    more = f" and {len(steps) - 5} more" if len(steps) > 5 else ""
    return (
        f" Skipped, since nothing finite came of it: step{'s' * (len(steps) > 1)} {', '.join(steps[:5])}{more}." if steps else ""
    )


def points(f: Findings, difference: float) -> str:
    """A signed difference of scores."""
    return f"{100 * difference:+.1f} points" if f.share else f"{difference:+.3f}"


def size(count: int) -> str:
    unit, worth = next(((u, w) for u, w in UNITS if count >= w), UNITS[-1])
    return f"{count / worth:.3g} {unit}"


def milliseconds(ms: float) -> str:
    return f"{ms:.2f} ms" if ms < 10 else f"{ms:,.0f} ms"


def exact(ms: float) -> str:
    """Milliseconds in three digits, without their unit."""
    return f"{ms:.3g}" if ms < 100 else f"{ms:,.0f}"


def operations(count: int) -> str:
    """A large number."""
    unit, worth = next(((u, w) for u, w in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)) if count >= w), ("", 1.0))
    return f"{count / worth:.3g} {unit}".strip()


def times(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio < 10 else f"{ratio:.0f}"


def speed(faster: float) -> str:
    """A ratio of latencies, the teacher's over the student's; within 5 % is the same."""
    return f"{times(faster)}x faster" if faster >= 1.05 else f"{times(1 / faster)}x slower" if faster < 0.95 else "as fast"


def headline(f: Findings) -> Headline:
    """What the student kept and costs. Where it is no better than alone, that is what comes first."""
    facts = [_kept(f)]
    gain = f.gain
    good = gain > 0 if gain is not None else f.retention is None or f.retention > 0.5
    if gain is not None and not good and f.alone is not None:
        worse = "no better than" if gain == 0 else "worse than"
        scores = f"{score(f, f.student.score)} against {score(f, f.alone.score)}"
        facts.insert(0, f"{worse} training alone: {scores}, so the teacher did not help")
    agree = percent(f.agreement) if f.task != "regress" else f"R² {f.agreement:.3f}"
    facts.append(f"agreement {agree}")
    if f.numbers.calibration_student is not None:
        facts.append(f"calibration error {percent(f.numbers.calibration_student)}")
    if f.numbers.rmse_student is not None:
        facts.append(f"RMSE {number(f.numbers.rmse_student)}")
    return Headline(good, facts[0], tuple(facts[1:]))


def _kept(f: Findings) -> str:
    kept = f"kept {percent(f.retention)} of the teacher" if f.retention is not None else _scores(f)
    if f.student.parameters and f.teacher.parameters:
        kept += f" in {percent(f.student.parameters / f.teacher.parameters)} of its size"
    if f.student.latency_ms > 0 and f.teacher.latency_ms > 0:
        faster = f.teacher.latency_ms / f.student.latency_ms
        kept += f", {speed(faster)}"
    return kept


def _scores(f: Findings) -> str:
    return f"{f.metric} {score(f, f.student.score)} against {score(f, f.teacher.score)}"


def gain(f: Findings) -> str | None:
    """What the teacher was worth, with how much of that chance can do."""
    if f.alone is None or f.gain is None:
        return None
    chance = "chance alone moves such a difference by about"
    noise = "" if f.noise is None else f"; {chance} {100 * f.noise:.1f} points on this many rows"
    where = "above" if f.gain > 0 else "below" if f.gain < 0 else "from"
    return f"{points(f, abs(f.gain))[1:]} {where} the same student trained alone, same budget, one run{noise}"
