"""Figures of what a run came to: the frontier, and how it was learned."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from understudy.report import words
from understudy.report.drawing import (
    ALONE,
    CARD,
    COLOURS,
    INK,
    LINE,
    MUTED,
    SIZE,
    STUDENT,
    TERMS,
    brief,
    canvas,
    label_ends,
    roomy,
    series,
    smooth,
    style,
    svg,
)
from understudy.report.findings import Findings
from understudy.report.spoken import Spoken, perplexity

GROUND = {"color": CARD, "alpha": 0.6, "pad": 0.5}  # behind words, so that they can be read over dots


def sized(f: Findings) -> bool:
    """Whether every model's size is known, so that the frontier can show it (a teacher behind an endpoint has none)."""
    return all(m.bytes > 0 for m in (f.teacher, f.student, f.alone) if m)


def frontier(f: Findings) -> str:
    """Score against size (latency where a size isn't known), the dots' area growing with latency; earlier runs muted.

    A line joins the runs that no other beats in both; an arrow leads from the student alone to the student.
    """
    by_size, dots = sized(f), []

    def place(bytes: int, ms: float) -> float:
        return float(bytes) if by_size else max(ms, 1e-6)

    for who, m in (("teacher", f.teacher), ("alone", f.alone), ("student", f.student)):
        if m:
            costs = ([words.size(m.bytes)] if m.bytes else []) + [words.milliseconds(m.latency_ms)]
            dots.append(_Dot(who, place(m.bytes, m.latency_ms), m.score, m.latency_ms, words.score(f, m.score), ", ".join(costs)))
    before = [_Dot(e.method, place(e.bytes, e.slow), e.score, e.slow, words.score(f, e.score), f"{e.student}, {words.size(e.bytes)}, "
                   f"{words.milliseconds(e.slow)}, {e.run}") for e in f.earlier]  # fmt: skip

    def across(v: float) -> str:
        return words.size(int(v)) if by_size else f"{v:.3g} ms"

    kept = f.teacher.score if f.retention is not None else None
    return _frontier(
        dots, before, across, lambda v: words.score(f, v), "size" if by_size else "latency a row", f.metric, teacher=kept
    )


def spoken_frontier(f: Spoken) -> str | None:
    """Perplexity against size, the dots' area growing with the time for a token. None where there is nothing to compare."""
    dots = []
    for who in ("teacher", "alone", "student"):
        m = f.heard.get(who)
        if m is not None and m.perplexity is not None and math.isfinite(m.perplexity):
            costs = f"{words.size(m.bytes)}, {m.speed:,.0f} tokens/s"
            dots.append(_Dot(who, float(max(m.bytes, 1)), m.perplexity, 1 / max(m.speed, 1e-9), perplexity(m.perplexity), costs))
    if len(dots) < 2:
        return None
    before = [_Dot(e.method, float(e.bytes), e.score, e.slow, perplexity(e.score), f"{e.student}, {words.size(e.bytes)}, {e.run}")
              for e in f.earlier]  # fmt: skip
    return _frontier(dots, before, lambda v: words.size(int(v)), perplexity, "size", "perplexity", down=True)


@dataclass(frozen=True)
class _Dot:
    who: str
    x: float
    y: float
    slow: float
    shown: str
    cost: str


def _frontier(dots: list[_Dot], before: list[_Dot], across: Callable[[float], str], up: Callable[[float], str], xlabel: str, title: str, *,
              down: bool = False, teacher: float | None = None) -> str:  # fmt: skip
    """down: less is better; teacher: the score that retention is a share of."""
    slowest = max(d.slow for d in (*dots, *before)) or 1.0
    by = {d.who: d for d in dots}
    student, alone = by.get("student"), by.get("alone")
    before = _within(before, dots)

    def area(d: _Dot) -> float:
        return 70 + 900 * d.slow / slowest

    with canvas() as (figure, ax):
        ax.set_xscale("log")
        _line(ax, [*dots, *before], down)
        for i, d in enumerate(before):
            ax.scatter(d.x, d.y, s=area(d) / 2, color=ALONE, alpha=0.45, edgecolor=CARD, linewidth=1, zorder=2, gid=f"earlier{i}")
        for d in dots:
            ax.scatter(d.x, d.y, s=area(d), color=COLOURS[d.who], edgecolor=CARD, linewidth=1.5, zorder=3, gid=d.who)
            left = d.who == "teacher" and student is not None and d.x > student.x
            other = {"student": alone, "alone": student}.get(d.who)  # the two share a place on the axis
            above = other is None or d.y > other.y or (d.y == other.y and d.who == "student")
            if left and student is not None and student.y >= d.y:  # out of the way of the student's words
                above = False
            radius = area(d) ** 0.5 / 2
            place = (-radius - 7 if left else radius + 7, 0)
            cost = d.cost if d.who != "alone" else "same size, no teacher"
            near = other is not None and abs(d.y - other.y) < 0.15 * (max(e.y for e in dots) - min(e.y for e in dots))
            apart = 0 if not near else 9 if above else -9
            first, second = (15 + apart, 1 + apart) if above else (apart, -14 + apart)
            for line, dy, paint, weight in (
                (f"{d.who} {d.shown}", first, COLOURS[d.who], "bold"),
                (cost, second, MUTED, "normal"),
            ):
                ax.annotate(line, (d.x, d.y), (place[0], dy - 4 if above else dy - 6), textcoords="offset points", color=paint,
                            fontweight=weight, ha="right" if left else "left", zorder=5, bbox=GROUND)  # fmt: skip
        if alone and student and alone.y != student.y:
            ax.annotate("", (student.x, student.y), (alone.x, alone.y), zorder=4,
                        arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 1.3, "shrinkA": 6, "shrinkB": 6})  # fmt: skip
        everybody = [*dots, *before]
        roomy(ax, [d.y for d in everybody])
        least, most = min(d.x for d in everybody), max(d.x for d in everybody)
        ax.set_xlim(least / max(most / least, 8) ** 0.16, most * max(most / least, 8) ** 0.16)
        ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: across(v)))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: up(v)))
        ax.set_xlabel(xlabel)
        ax.set_title(title, color=MUTED)
        if teacher:
            kept = ax.secondary_yaxis("right", functions=(lambda y: y / teacher, lambda k: k * teacher))
            kept.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.3g} %"))
            kept.yaxis.set_major_locator(MaxNLocator(5))
            kept.spines["right"].set_visible(False)
            ax.set_title("of the teacher", color=MUTED, loc="right")
        _name_earlier(figure, ax, sorted(before, key=lambda d: d.y, reverse=not down))
        told = {f"earlier{i}": f"{d.who} {d.shown}: {d.cost}" for i, d in enumerate(before)}
        return svg(figure, "frontier", told | {d.who: f"{d.who} {d.shown}: {d.cost}" for d in dots})


def _within(before: list[_Dot], dots: list[_Dot]) -> list[_Dot]:
    """Earlier runs but those that lie so far off that the picture would be of them."""
    low, high = min(d.y for d in dots), max(d.y for d in dots)
    room = 2 * max(high - low, 0.02 * max(abs(high), 1e-9))
    return [d for d in before if low - room <= d.y <= high + room]


def _line(ax: Axes, dots: list[_Dot], down: bool) -> None:
    """The frontier itself: steps along those that no smaller one beats."""
    edge: list[_Dot] = []
    for d in sorted(dots, key=lambda d: (d.x, d.y if down else -d.y)):
        if not edge or (d.y < edge[-1].y if down else d.y > edge[-1].y):
            edge.append(d)
    ax.step([d.x for d in edge], [d.y for d in edge], where="post", color=LINE, lw=2.5, zorder=1)


def _name_earlier(figure: Figure, ax: Axes, before: list[_Dot]) -> None:
    """Methods of earlier runs, the best first, as far as there is room for a name."""
    figure.canvas.draw()
    taken, whole = [t.get_window_extent() for t in ax.texts if t.get_text()], ax.get_window_extent()
    for d in before:
        for side, dx in (("left", 8), ("right", -8)):
            text = ax.annotate(brief(d.who), (d.x, d.y), (dx, -3.5), textcoords="offset points", fontsize=9, color=MUTED, ha=side)
            box = text.get_window_extent()
            if not any(box.overlaps(other) for other in taken) and whole.x0 <= box.x0 and box.x1 <= whole.x1:
                taken.append(box)
                break
            text.remove()


def curves(f: Findings) -> str | None:
    """Each loss term, and the validation score, against steps; None without a history."""
    return learning(f.history, lambda v: words.score(f, v))


def learning(history: Sequence[dict[str, float]], shown: Callable[[float], str], judged: str = "validation") -> str | None:
    """Each loss term, and what the validation rows said, against steps; None without a history. shown: a validation score in words."""
    steps = [row for row in history if "step" in row]
    terms = sorted({k for row in steps for k in row if k.startswith("loss/")})
    lines = [(brief(k.removeprefix("loss/")), *series(steps, k), TERMS[i % len(TERMS)]) for i, k in enumerate(terms)]
    valid = series(steps, "valid")
    panels = [p for p in ((lines, "loss terms"), ([("", *valid, STUDENT)], judged)) if any(len(line[1]) for line in p[0])]
    if not panels:
        return None
    with style():
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = np.atleast_1d(figure.subplots(len(panels), 1, sharex=True, height_ratios=[3, 2][: len(panels)]))
        for ax, (drawn, title) in zip(axes, panels, strict=True):
            ends = []
            for name, at, values, colour in drawn:
                if len(at):
                    calm = smooth(values) if title != judged else values
                    dots = len(at) < 2 or (title == judged and len(at) <= 40)
                    ax.plot(at, calm, color=colour, marker="o" if dots else None, markersize=4)
                    ends.append((float(calm[-1]), name or shown(float(calm[-1])), colour))
            values = np.concatenate([line[2] for line in drawn])
            if title != judged and values.min() > 0 and values.max() > 50 * values.min():
                ax.set_yscale("log")
                ax.yaxis.set_minor_locator(NullLocator())
            if title == judged:
                ax.yaxis.set_major_locator(MaxNLocator(3))
                ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: shown(v)))
            else:
                ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
            ax.set_title(title, color=MUTED)
            ax.margins(x=0.02)
            label_ends(figure, ax, ends)
        axes[-1].set_xlabel("step")
        axes[-1].xaxis.set_major_locator(MaxNLocator(5, integer=True))
        return svg(figure, "curves")


def gradients(history: Sequence[dict[str, float]]) -> str | None:
    """Each term's share of the gradients' norms towards the student, against steps; None below two looks or two terms."""
    at, shares = pulled(history)
    if len(at) < 2 or len(shares) < 2:
        return None
    with canvas() as (figure, ax):
        paints = [TERMS[i % len(TERMS)] for i in range(len(shares))]
        ax.stackplot(at, *shares.values(), colors=paints, alpha=0.75, linewidth=0)
        ax.set_ylim(0, 1)
        ax.set_xlim(at[0], at[-1])
        ends, below = [], 0.0
        for (name, values), paint in zip(shares.items(), paints, strict=True):
            ends.append((below + float(values[-1]) / 2, f"{brief(name)} {100 * float(values[-1]):.0f} %", paint))
            below += float(values[-1])
        ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.0f} %"))
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        ax.grid(False)
        ax.set_xlabel("step")
        ax.set_title("share of the gradients' norms", color=MUTED)
        label_ends(figure, ax, ends)
        return svg(figure, "gradients")


def pulled(history: Sequence[dict[str, float]]) -> tuple[list[float], dict[str, np.ndarray]]:
    """Steps at which gradients were looked at, and each term's share there: its norm over the sum of all norms."""
    looks = [row for row in history if any(k.startswith("grad/") for k in row)]
    names = sorted({k for row in looks for k in row if k.startswith("grad/")})
    norms = np.array([[row.get(k, 0.0) for k in names] for row in looks], dtype=float).reshape(len(looks), len(names))
    norms[~np.isfinite(norms)] = 0.0
    whole = norms.sum(1, keepdims=True)
    shares = np.divide(norms, whole, out=np.zeros_like(norms), where=whole > 0)
    return [float(row["step"]) for row in looks], {k.removeprefix("grad/"): shares[:, i] for i, k in enumerate(names)}
