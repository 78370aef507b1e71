"""What all figures are drawn with: SVG in one style, colour-blind safe, labelled directly, following the page's light or dark colours."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image
from torch import Tensor

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
MOST_STEPS = 300


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib's settings as these, whatever a user's are."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the page's fonts draw the words
        matplotlib.rcdefaults()  # a user's matplotlibrc stays out of it
        matplotlib.rcParams.update(STYLE)
        yield


@contextmanager
def canvas() -> Iterator[tuple[Figure, Axes]]:
    """A figure of one panel."""
    with style():
        figure = Figure(figsize=SIZE, layout="constrained")
        yield figure, figure.subplots()


def svg(figure: Figure, name: str, told: Mapping[str, str] | None = None) -> str:
    """The figure without its XML prologue, with the page's fonts, and the page's colours where it defines them.

    told: what is said of an artist under the pointer, by its gid.
    """
    figure.patch.set_alpha(0)
    for ax in figure.axes:
        ax.patch.set_alpha(0)
    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.S)
    for gid, words in (told or {}).items():
        text = text.replace(f'<g id="{gid}">', f"<g><title>{escape(words)}</title>")
    text = re.sub(r'<g id="[^"]*">', "<g>", text)  # numbered by kind, so they repeat from figure to figure
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r'\1 aria-hidden="true"', text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"<[^<>]*>", lambda tag: _painted(tag[0]), text)  # words between tags stay as they are
    return re.sub(r"\n\s*", "\n", re.sub(r"[\x00-\x08\x0b-\x1f]", "", text))  # XML has no such characters


def _painted(tag: str) -> str:
    tag = re.sub(r"'DejaVu Sans'[^;\"]*", "Inter, system-ui, sans-serif", tag)
    for paint, role in PAINT.items():
        tag = tag.replace(paint, f"var(--{role}, {paint})")
    return tag


def note(ax: Axes, x: float, y: float, text: str, colour: str, *, ha: str) -> None:
    """Words at a place in [0, 1] x [0, 1] of the axes."""
    ax.text(x, y, text, color=colour, fontweight="bold", ha=ha, transform=ax.transAxes)


def label_ends(figure: Figure, ax: Axes, ends: list[tuple[float, str, str]]) -> None:
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


def series(rows: Sequence[dict[str, float]], key: str) -> tuple[Any, Any]:
    """Steps and finite values of a key, thinned to a few hundred."""
    points = [(r["step"], r[key]) for r in rows if isinstance(r.get(key), (int, float)) and np.isfinite(r[key])]
    found = np.array(points, dtype=float).reshape(-1, 2)
    if len(found) > MOST_STEPS:
        width = -(-len(found) // MOST_STEPS)
        found = np.stack([part.mean(0) for part in np.array_split(found, len(found) // width)])
    return found[:, 0], found[:, 1]


def smooth(values: Any) -> Any:
    """A running mean over a thirtieth of the line."""
    width = max(1, len(values) // 30)
    padded = np.pad(values, (width // 2, width - 1 - width // 2), mode="edge")
    return np.convolve(padded, np.ones(width) / width, "valid")


def roomy(ax: Axes, values: list[float]) -> None:
    low, high = min(values), max(values)
    spread = max(high - low, 1e-3 * max(abs(high), 1e-9))
    ax.set_ylim(low - 0.35 * spread, high + 0.35 * spread)
    ax.yaxis.set_major_locator(MaxNLocator(5))


def brief(name: str) -> str:
    """At most 16 characters; both ends, as names that begin alike end otherwise."""
    return name if len(name) <= 16 else f"{name[:8].rstrip()}…{name[-7:].lstrip()}"


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
