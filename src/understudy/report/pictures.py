"""Figures as SVG in one style: colour-blind safe, labelled directly, and following the page's light or dark colours."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from PIL import Image
from torch import Tensor

from understudy.report import words
from understudy.report.findings import Bin, Findings, reliability
from understudy.report.spoken import Spoken, perplexity

INK, MUTED, LINE, CARD = "#1c2530", "#66717e", "#e2e6eb", "#fffffe"
TEACHER, STUDENT, ALONE = "#0072b2", "#d55e00", "#868d96"  # Okabe and Ito's blue and vermilion
TERMS = (STUDENT, TEACHER, "#009e73", "#cc79a7", "#b8860b", "#56b4e9")
PAINT = {
    INK: "ink",
    MUTED: "muted",
    LINE: "line",
    CARD: "card",
    TEACHER: "teacher",
    STUDENT: "student",
    ALONE: "alone",
    TERMS[2]: "green",
    TERMS[3]: "pink",
    TERMS[4]: "gold",
    TERMS[5]: "sky",
}
STYLE: dict[Any, Any] = {
    "font.size": 11.5,
    "svg.fonttype": "none",
    "text.parse_math": False,  # names come from outside, and aren't formulas
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 1,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.solid_capstyle": "round",
    "lines.linewidth": 2,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "axes.titlesize": 11.5,
    "axes.titlelocation": "left",
}
COLOURS = {"teacher": TEACHER, "student": STUDENT, "alone": ALONE, "before": MUTED}
SIZE = (400 / 72, 300 / 72)  # drawn small, so that it can be read on a phone
MOST_CLASSES, MOST_POINTS, MOST_STEPS = 14, 600, 300


def sized(f: Findings) -> bool:
    """Whether every model's size is known, so that the frontier can show it (a teacher behind an endpoint has none)."""
    return all(m.bytes > 0 for m in (f.teacher, f.student, f.alone) if m)


def frontier(f: Findings) -> str:
    """Score against size (latency where a size isn't known), the dots' area growing with latency.

    An arrow leads from the student alone to the student.
    """
    by_size, dots = sized(f), []
    for who, m in (("teacher", f.teacher), ("alone", f.alone), ("student", f.student)):
        if m:
            costs = ([words.size(m.bytes)] if m.bytes else []) + [words.milliseconds(m.latency_ms)]
            x = float(m.bytes) if by_size else max(m.latency_ms, 1e-6)
            dots.append(_Dot(who, x, m.score, m.latency_ms, words.score(f, m.score), ", ".join(costs)))

    def across(v: float) -> str:
        return words.size(int(v)) if by_size else f"{v:.3g} ms"

    return _frontier(dots, across, lambda v: words.score(f, v), "size" if by_size else "latency a row", f.metric)


def spoken_frontier(f: Spoken) -> str | None:
    """Perplexity against size, the dots' area growing with the time for a token. None where there is nothing to compare."""
    dots = []
    for who in ("teacher", "alone", "student"):
        m = f.heard.get(who)
        if m is not None and m.perplexity is not None and math.isfinite(m.perplexity):
            shown = perplexity(m.perplexity)
            dots.append(
                _Dot(
                    who,
                    float(max(m.bytes, 1)),
                    m.perplexity,
                    1 / max(m.speed, 1e-9),
                    shown,
                    f"{words.size(m.bytes)}, {m.speed:,.0f} tokens/s",
                )
            )
    if len(dots) < 2:
        return None
    return _frontier(dots, lambda v: words.size(int(v)), perplexity, "size", "perplexity")


@dataclass(frozen=True)
class _Dot:
    who: str
    x: float
    y: float
    slow: float
    shown: str
    cost: str


def _frontier(dots: list[_Dot], across: Callable[[float], str], up: Callable[[float], str], xlabel: str, title: str) -> str:
    slowest = max(d.slow for d in dots) or 1.0
    by = {d.who: d for d in dots}
    student, alone = by.get("student"), by.get("alone")

    def area(d: _Dot) -> float:
        return 70 + 900 * d.slow / slowest

    with _axes() as (figure, ax):
        ax.set_xscale("log")
        for d in dots:
            ax.scatter(d.x, d.y, s=area(d), color=COLOURS[d.who], edgecolor=CARD, linewidth=1.5, zorder=3)
            left = d.who == "teacher" and student is not None and d.x > student.x
            other = {"student": alone, "alone": student}.get(d.who)  # the two share a place on the axis
            above = other is None or d.y > other.y or (d.y == other.y and d.who == "student")
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
                ax.annotate(
                    line,
                    (d.x, d.y),
                    (place[0], dy - 4 if above else dy - 6),
                    textcoords="offset points",
                    color=paint,
                    fontweight=weight,
                    ha="right" if left else "left",
                )
        if alone and student and alone.y != student.y:
            ax.annotate(
                "",
                (student.x, student.y),
                (alone.x, alone.y),
                zorder=4,
                arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 1.3, "shrinkA": 6, "shrinkB": 6},
            )
        _roomy(ax, [d.y for d in dots])
        least, most = min(d.x for d in dots), max(d.x for d in dots)
        ax.set_xlim(least / max(most / least, 8) ** 0.16, most * max(most / least, 8) ** 0.16)
        ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: across(v)))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: up(v)))
        ax.set_xlabel(xlabel)
        ax.set_title(title, color=MUTED)
        return _svg(figure, "frontier")


def curves(f: Findings) -> str | None:
    """Each loss term, and the validation score, against steps; None without a history."""
    return learning(f.history, lambda v: words.score(f, v))


def learning(history: Sequence[dict[str, float]], shown: Callable[[float], str], judged: str = "validation") -> str | None:
    """Each loss term, and what the validation rows said, against steps; None without a history. shown: a validation score in words."""
    steps = [row for row in history if "step" in row]
    terms = sorted({k for row in steps for k in row if k.startswith("loss/")})
    lines = [(_brief(k.removeprefix("loss/")), *_series(steps, k), TERMS[i % len(TERMS)]) for i, k in enumerate(terms)]
    valid = _series(steps, "valid")
    panels = [p for p in ((lines, "loss terms"), ([("", *valid, STUDENT)], judged)) if any(len(line[1]) for line in p[0])]
    if not panels:
        return None
    with _style():
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = np.atleast_1d(figure.subplots(len(panels), 1, sharex=True, height_ratios=[3, 2][: len(panels)]))
        for ax, (drawn, title) in zip(axes, panels, strict=True):
            ends = []
            for name, at, values, colour in drawn:
                if len(at):
                    calm = _smooth(values) if title != judged else values
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
            _label_ends(figure, ax, ends)
        axes[-1].set_xlabel("step")
        axes[-1].xaxis.set_major_locator(MaxNLocator(5, integer=True))
        return _svg(figure, "curves")


def by_class(f: Findings) -> str | None:
    """How often student and teacher agree in each class; of many classes, those with the least. None without classes."""
    known = [(share, _class_name(f, c)) for c, share in enumerate(f.numbers.by_class) if share is not None]
    if len(known) < 2:
        return None
    if len(known) > MOST_CLASSES:
        known = sorted(known, key=lambda k: k[0])[:MOST_CLASSES]
    shares, names = [k[0] for k in known], [k[1] for k in known]
    with _axes() as (figure, ax):
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
        return _svg(figure, "classes")


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
    with _axes() as (figure, ax):
        ax.plot([0, 1], [0, 1], color=MUTED, lw=1.2, ls=(0, (2, 3)))
        for i, (who, bins, error) in enumerate(drawn):
            most = max(b.rows for b in bins)
            sure, right = [b.confidence for b in bins], [b.right for b in bins]
            ax.plot(sure, right, color=COLOURS[who], lw=1.2, alpha=0.6)
            area = [18 + 170 * b.rows / most for b in bins]
            ax.scatter(sure, right, s=area, color=COLOURS[who], edgecolor=CARD, linewidth=1, zorder=3)
            _note(ax, 0.97, 0.05 + 0.08 * (len(drawn) - 1 - i), f"{who}: error {words.percent(error)}", COLOURS[who], ha="right")
        ax.set_xlim(-0.02, 1.04)
        ax.set_ylim(-0.02, 1.04)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.0f} %"))
            axis.set_major_locator(MaxNLocator(5))
        ax.set_xlabel("how sure")
        ax.set_title("how often right", color=MUTED)
        return _svg(figure, "calibration")


def by_frequency(f: Spoken) -> str | None:
    """Nats a token against how often the token occurs in the training rows; dots grow with tokens. None without such rows."""
    whose = [who for who in ("alone", "teacher", "student") if any(math.isfinite(row.get(who, math.nan)) for row in f.frequency)]
    if not whose:
        return None
    with _axes() as (figure, ax):
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
        _label_ends(figure, ax, ends)
        return _svg(figure, "frequency")


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
    with _axes() as (figure, ax):
        numbers = f.numbers
        drawn = (("teacher", f.teacher_out, TEACHER, numbers.r2_teacher), ("student", f.student_out, STUDENT, numbers.r2_student))
        for i, (who, out, colour, r2) in enumerate(drawn):
            guessed = out.detach().cpu().double().flatten().numpy()
            ax.scatter(true[some], guessed[some], s=16, color=colour, alpha=0.5, linewidth=0)
            _note(ax, 0.03, 0.94 - 0.08 * i, f"{who}: R² {r2:.3f}", colour, ha="left")
        low, high = float(np.nanmin(true)), float(np.nanmax(true))
        ax.plot([low, high], [low, high], color=MUTED, lw=1.2, ls=(0, (2, 3)))
        ax.set_xlabel("true")
        ax.set_title("predicted", color=MUTED)
        return _svg(figure, "scatter")


def thumbnail(x: Tensor, side: int = 96) -> bytes:
    """One picture [H, W] or [1 or 3, H, W] as a PNG of at most `side` pixels, darkest black and brightest white."""
    v = x.detach().cpu().double()
    v = (v - v.min()) / (v.max() - v.min()).clamp_min(1e-12)
    pixels = (v * 255).round().byte().numpy()
    if pixels.ndim == 3:
        pixels = pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
    image = Image.fromarray(pixels)
    image.thumbnail((side, side))
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


@contextmanager
def _style() -> Iterator[None]:
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the page's fonts draw the words
        matplotlib.rcdefaults()  # a user's matplotlibrc stays out of it
        matplotlib.rcParams.update(STYLE)
        yield


@contextmanager
def _axes() -> Iterator[tuple[Figure, Axes]]:
    with _style():
        figure = Figure(figsize=SIZE, layout="constrained")
        yield figure, figure.subplots()


def _svg(figure: Figure, name: str) -> str:
    """The figure without its XML prologue, with the page's fonts, and the page's colours where it defines them."""
    figure.patch.set_alpha(0)
    for ax in figure.axes:
        ax.patch.set_alpha(0)
    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.S)
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)  # numbered by kind, so they repeat from figure to figure
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', rf'\1 role="img" aria-label="{name}"', svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r"'DejaVu Sans'[^;\"]*", "Inter, system-ui, sans-serif", svg)
    for paint, role in PAINT.items():
        svg = svg.replace(paint, f"var(--{role}, {paint})")
    return re.sub(r"\n\s*", "\n", re.sub(r"[\x00-\x08\x0b-\x1f]", "", svg))  # XML has no such characters


def _note(ax: Axes, x: float, y: float, text: str, colour: str, *, ha: str) -> None:
    """Words at a place in [0, 1] x [0, 1] of the axes."""
    ax.text(x, y, text, color=colour, fontweight="bold", ha=ha, transform=ax.transAxes)


def _label_ends(figure: Figure, ax: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Names at the right end of their lines, pushed apart where they would overlap."""
    figure.canvas.draw()
    box = ax.get_window_extent()
    gap = 15 / 72 * figure.dpi / box.height
    last = -gap
    for y, text, colour in sorted(ends):
        height = (ax.transData.transform((ax.get_xlim()[0], y))[1] - box.y0) / box.height
        last = max(height, last + gap)
        ax.annotate(
            text, (1, last), (6, -4), xycoords="axes fraction", textcoords="offset points", color=colour, fontweight="bold"
        )


def _series(rows: Sequence[dict[str, float]], key: str) -> tuple[Any, Any]:
    """Steps and finite values of a key, thinned to a few hundred."""
    points = [(r["step"], r[key]) for r in rows if isinstance(r.get(key), (int, float)) and np.isfinite(r[key])]
    found = np.array(points, dtype=float).reshape(-1, 2)
    if len(found) > MOST_STEPS:
        width = -(-len(found) // MOST_STEPS)
        found = np.stack([part.mean(0) for part in np.array_split(found, len(found) // width)])
    return found[:, 0], found[:, 1]


def _smooth(values: Any) -> Any:
    """A running mean over a thirtieth of the line."""
    width = max(1, len(values) // 30)
    padded = np.pad(values, (width // 2, width - 1 - width // 2), mode="edge")
    return np.convolve(padded, np.ones(width) / width, "valid")


def _roomy(ax: Axes, values: list[float]) -> None:
    low, high = min(values), max(values)
    spread = max(high - low, 1e-3 * max(abs(high), 1e-9))
    ax.set_ylim(low - 0.35 * spread, high + 0.35 * spread)
    ax.yaxis.set_major_locator(MaxNLocator(5))


def _class_name(f: Findings, c: int) -> str:
    return _brief(f.data.classes[c] if c < len(f.data.classes) else str(c))


def _brief(name: str) -> str:
    """At most 16 characters."""
    return name if len(name) <= 16 else name[:15] + "…"
