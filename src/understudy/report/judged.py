"""Figures of how the student decides, beside the teacher: by class, against one another, and how far each can be believed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from understudy.report import words
from understudy.report.drawing import CARD, COLOURS, INK, LINE, MUTED, STUDENT, TEACHER, brief, canvas, label_ends, note, svg
from understudy.report.findings import CLASSES, Bin, Findings, confusion, reliability
from understudy.report.spoken import Spoken

MOST_CLASSES, MOST_POINTS = 14, 600


def by_class(f: Findings) -> str | None:
    """How often student and teacher agree in each class; of many classes, those with the least. None without classes."""
    known = [(share, _class_name(f, c)) for c, share in enumerate(f.numbers.by_class) if share is not None]
    if len(known) < 2:
        return None
    if len(known) > MOST_CLASSES:
        known = sorted(known, key=lambda k: k[0])[:MOST_CLASSES]
    shares, names = [k[0] for k in known], [k[1] for k in known]
    with canvas() as (figure, ax):
        rows = range(len(known))
        ax.axvline(f.agreement, color=INK, lw=1.2, ls=(0, (2, 3)))
        ax.hlines(rows, f.agreement, shares, color=LINE, lw=4)
        ax.scatter(shares, rows, s=60, color=STUDENT, edgecolor=CARD, zorder=3)
        low, high = min(*shares, f.agreement), max(*shares, f.agreement)
        spread = max(high - low, 0.02)
        for row, share in enumerate(shares):
            right = share >= f.agreement
            ax.annotate(
                words.percent(share),
                (share, row),
                (8 if right else -8, -3.5),
                textcoords="offset points",
                fontsize=10,
                ha="left" if right else "right",
                color=MUTED,
            )
        ax.set_xlim(low - 0.22 * spread, high + 0.22 * spread)
        ax.set_ylim(len(known) - 0.4, -1.1)
        everybody = f"all {words.percent(f.agreement)}"
        ax.text(f.agreement, -0.75, everybody, ha="center", fontweight="bold", bbox={"color": CARD, "pad": 1})
        ax.set_yticks(list(rows), names)
        ax.tick_params(axis="y", labelcolor=INK)
        ax.xaxis.set_major_locator(NullLocator())
        ax.grid(False)
        ax.spines["bottom"].set_visible(False)
        return svg(figure, "classes")


def confused(f: Findings) -> str | None:
    """What the student decided (columns) where the teacher decided (rows); of many classes, those that are mixed up most. None without
    classes, and for several labels at once."""
    if f.task in ("regress", "multilabel") or f.teacher_out is None or f.student_out is None:
        return None
    if f.teacher_out.shape[-1] > CLASSES:
        return None
    counts = confusion(f.task, f.teacher_out, f.student_out).numpy()
    classes = mixed_up(counts)
    if len(classes) < 2:
        return None
    few = counts[np.ix_(classes, classes)]
    n, small = len(classes), 8.5 if len(classes) > 10 else 10
    with canvas() as (figure, ax):
        whole = np.maximum(counts[classes].sum(1), 1)
        for i in range(n):
            for j in range(n):
                if few[i, j]:
                    share = float(few[i, j] / whole[i])
                    paint, depth = (TEACHER, 0.12 + 0.3 * share) if i == j else (STUDENT, 0.25 + 0.65 * min(3 * share, 1.0))
                    ax.add_patch(Rectangle((j - 0.48, i - 0.48), 0.96, 0.96, facecolor=paint, alpha=depth, linewidth=0))
                    ax.text(j, i, _count(int(few[i, j])), ha="center", va="center", fontsize=small, color=INK)
        ax.set_xlim(-0.5, n - 0.5)
        ax.set_ylim(n - 0.5, -0.5)
        names = [_class_name(f, int(c)) for c in classes]
        ax.set_yticks(range(n), names, fontsize=small)
        ax.set_xticks(range(n), names, fontsize=small, rotation=90 if max(map(len, names)) > 3 else 0)
        ax.tick_params(labelcolor=INK)
        ax.grid(False)
        ax.spines["bottom"].set_visible(False)
        ax.set_xlabel("the student says", color=STUDENT)
        ax.set_ylabel("the teacher says", color=TEACHER)
        return svg(figure, "confusion")


def mixed_up(counts: np.ndarray, most: int = MOST_CLASSES) -> np.ndarray:
    """Which classes a picture of [C, C] counts has room for: all, or those with the most counts off the diagonal, in their order."""
    off = counts - np.diag(np.diag(counts))
    seen = np.flatnonzero(counts.sum(0) + counts.sum(1))
    if len(seen) <= most:
        return seen
    return np.sort(np.argsort(-(off.sum(0) + off.sum(1)), kind="stable")[:most])


def _count(n: int) -> str:
    return str(n) if n < 1000 else f"{n / 1000:.0f}k" if n < 1_000_000 else f"{n / 1e6:.0f}M"


def calibration(f: Findings) -> str | None:
    """How often each model is right against how sure it is. None without labelled decisions."""
    if f.task == "regress" or f.y is None or f.teacher_out is None or f.student_out is None:
        return None
    both = (("teacher", f.teacher_out, f.numbers.calibration_teacher), ("student", f.student_out, f.numbers.calibration_student))
    return reliabilities([(who, reliability(f.task, out, f.y), error) for who, out, error in both if error is not None])


def reliabilities(drawn: Sequence[tuple[str, Sequence[Bin], float]]) -> str | None:
    """How often right against how sure: whose, bins, calibration error; dots grow with rows. None without bins."""
    drawn = [d for d in drawn if d[1]]
    if not drawn:
        return None
    with canvas() as (figure, ax):
        ax.plot([0, 1], [0, 1], color=MUTED, lw=1.2, ls=(0, (2, 3)))
        for i, (who, bins, error) in enumerate(drawn):
            most = max(b.rows for b in bins)
            sure, right = [b.confidence for b in bins], [b.right for b in bins]
            ax.plot(sure, right, color=COLOURS[who], lw=1.2, alpha=0.6)
            area = [18 + 170 * b.rows / most for b in bins]
            ax.scatter(sure, right, s=area, color=COLOURS[who], edgecolor=CARD, linewidth=1, zorder=3)
            note(ax, 0.97, 0.05 + 0.08 * (len(drawn) - 1 - i), f"{who}: error {words.percent(error)}", COLOURS[who], ha="right")
        ax.set_xlim(-0.02, 1.04)
        ax.set_ylim(-0.02, 1.04)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.0f} %"))
            axis.set_major_locator(MaxNLocator(5))
        ax.set_xlabel("how sure")
        ax.set_title("how often right", color=MUTED)
        return svg(figure, "calibration")


def by_frequency(f: Spoken) -> str | None:
    """Nats a token against how often the token occurs in the training rows; dots grow with tokens. None without such rows."""
    whose = [who for who in ("alone", "teacher", "student") if any(math.isfinite(row.get(who, math.nan)) for row in f.frequency)]
    if not whose:
        return None
    with canvas() as (figure, ax):
        most, ends = max(row["tokens"] for row in f.frequency), []
        for who in whose:
            points = [(i, row[who], row["tokens"]) for i, row in enumerate(f.frequency) if math.isfinite(row.get(who, math.nan))]
            at, cost, tokens = zip(*points, strict=True)
            ax.plot(at, cost, color=COLOURS[who], lw=1.6)
            ax.scatter(
                at, cost, s=[18 + 150 * n / most for n in tokens], color=COLOURS[who], edgecolor=CARD, linewidth=1, zorder=3
            )
            ends.append((float(cost[-1]), who, COLOURS[who]))
        ax.set_ylim(bottom=0)
        ax.set_xlim(-0.3, len(f.frequency) - 0.7)
        ax.set_xticks(
            range(len(f.frequency)),
            [
                f"{_often(row['from'])}\n{words.percent(row['tokens'] / sum(r['tokens'] for r in f.frequency))}"
                for row in f.frequency
            ],
        )
        ax.yaxis.set_major_locator(MaxNLocator(5))
        ax.set_xlabel("times in the training rows, and how many test tokens are such")
        ax.set_title("nats a token", color=MUTED)
        label_ends(figure, ax, ends)
        return svg(figure, "frequency")


def _often(least: int) -> str:
    """A power of ten, and what comes before the next."""
    if least < 1:
        return "never"
    unit, worth = ("M", 10**6) if least >= 10**6 else ("k", 1000) if least >= 1000 else ("", 1)
    return f"{least // worth}–{10 * least // worth - 1}{unit}"


def scatter(f: Findings) -> str | None:
    """Regression: what each model predicted against what was true. None for other tasks and without arrays."""
    if f.task != "regress" or f.y is None or f.teacher_out is None or f.student_out is None:
        return None
    true = f.y.detach().cpu().double().flatten().numpy()
    some = np.unique(np.linspace(0, len(true) - 1, min(MOST_POINTS, len(true))).astype(int))
    with canvas() as (figure, ax):
        numbers = f.numbers
        drawn = (("teacher", f.teacher_out, TEACHER, numbers.r2_teacher), ("student", f.student_out, STUDENT, numbers.r2_student))
        for i, (who, out, colour, r2) in enumerate(drawn):
            guessed = out.detach().cpu().double().flatten().numpy()
            ax.scatter(true[some], guessed[some], s=16, color=colour, alpha=0.5, linewidth=0)
            note(ax, 0.03, 0.94 - 0.08 * i, f"{who}: R² {r2:.3f}", colour, ha="left")
        low, high = float(np.nanmin(true)), float(np.nanmax(true))
        ax.plot([low, high], [low, high], color=MUTED, lw=1.2, ls=(0, (2, 3)))
        ax.set_xlabel("true")
        ax.set_title("predicted", color=MUTED)
        return svg(figure, "scatter")


def _class_name(f: Findings, c: int) -> str:
    return brief(f.data.classes[c] if c < len(f.data.classes) else str(c))
