"""What a proof or a study measured, as a picture that takes its colours from the page it stands on."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

INK, MUTED, ACCENT = "#010203", "#8a8f98", "#3b82d0"  # INK is written as the page's own


@dataclass(frozen=True)
class Strip:
    """One effect: its values a seed (where they are kept), and mean, low and high."""

    title: str
    values: Sequence[float]
    effect: Mapping[str, float]
    holds: bool


def proof_strips(found: Mapping[str, Any]) -> tuple[list[Strip], str]:
    """Paired differences to the baseline and to the placebo, and their unit."""
    unit = 100 if found.get("share", True) else 1
    ours = found["scores"]["method"]
    strips = []
    for side, effect, title in (
        ("baseline", found["effect"], "over the baseline"),
        ("placebo", found["over_placebo"], "over the placebo (answers shuffled)"),
    ):
        if effect is None:
            continue
        paired = [unit * (a - b) for a, b in zip(ours, found["scores"][side], strict=True)]
        scaled = {k: unit * v for k, v in effect.items()}
        strips.append(Strip(title, paired, scaled, scaled["low"] > 0))
    return strips, "points" if unit == 100 else found["metric"]


def study_strips(found: Mapping[str, Any]) -> list[Strip]:
    return [Strip(f["what"], (), f["effect"], f["holds"]) for f in found["findings"]]


def told(strip: Strip) -> str:
    half = (strip.effect["high"] - strip.effect["low"]) / 2
    return f"{strip.title}: {strip.effect['mean']:+.3g} ± {half:.2g}"


def forest(rows: Sequence[tuple[str, Mapping[str, float], bool]], cache: Path) -> str:
    """Many effects (shares) on one axis, a line each, the largest on top; what reaches far out of it ends in an arrow's head."""
    key = hashlib.blake2b(repr(rows).encode() + Path(__file__).read_bytes(), digest_size=12).hexdigest()
    kept = cache / f"{key}.svg"
    if not kept.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        kept.write_text(_forest(sorted(rows, key=lambda r: r[1]["mean"])))
    return kept.read_text()


def _forest(rows: Sequence[tuple[str, Mapping[str, float], bool]]) -> str:
    far = 130 * max(abs(e["mean"]) for _, e, _ in rows) + 1

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        axes.axvline(0, color=MUTED, lw=1, ls=(0, (3, 3)))
        for y, (_, e, holds) in enumerate(rows):
            low, mean, high = (100 * e[k] for k in ("low", "mean", "high"))
            axes.plot([max(low, -far), min(high, far)], [y, y], color=ACCENT, lw=2, solid_capstyle="butt")
            for beyond, edge, head in ((low < -far, -far, "<"), (high > far, far, ">")):
                if beyond:
                    axes.plot([edge], [y], head, ms=5, color=ACCENT)
            axes.plot([mean], [y], "D", ms=6, color=ACCENT, mfc=ACCENT if holds else "none", mew=1.4)
        axes.set(
            yticks=range(len(rows)),
            yticklabels=[name for name, _, _ in rows],
            ylim=(-0.7, len(rows) - 0.3),
            xlabel="points",
            xlim=(-1.05 * far, 1.05 * far),
        )
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.spines[["left", "top", "right"]].set_visible(False)

    label = "; ".join(f"{name} {100 * e['mean']:+.3g} ± {100 * (e['high'] - e['mean']):.2g}" for name, e, _ in reversed(rows))
    return _svg(draw, (6.4, 0.24 * len(rows) + 0.6), label)


def drawn(strips: Sequence[Strip], unit: str, cache: Path) -> str:
    """The strips as SVG, one above the other, each with 0 on its own axis; drawn once as long as nothing changes."""
    key = hashlib.blake2b(repr((strips, unit)).encode() + Path(__file__).read_bytes(), digest_size=12).hexdigest()
    kept = cache / f"{key}.svg"
    if not kept.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        kept.write_text(_draw(strips, unit))
    return kept.read_text()


def _draw(strips: Sequence[Strip], unit: str) -> str:
    def draw(figure: Any) -> None:
        for axes, strip in zip(figure.subplots(len(strips), squeeze=False)[:, 0], strips, strict=True):
            _strip(axes, strip)
        figure.axes[-1].set_xlabel(unit)

    return _svg(draw, (4.4, sum(0.9 if s.values else 0.65 for s in strips) + 0.35), "; ".join(map(told, strips)))


def _svg(draw: Callable[[Any], None], size: tuple[float, float], label: str) -> str:
    """What is drawn, as SVG in the page's own ink."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style = {"svg.fonttype": "none", "svg.hashsalt": "understudy", "font.size": 10, "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK,
             "axes.edgecolor": MUTED, "axes.unicode_minus": True}  # fmt: skip
    with mpl.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        out = io.StringIO()
        figure.savefig(
            out, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
    svg = re.sub(r"<\?xml.*?<svg", "<svg", out.getvalue(), flags=re.S)
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.S).replace(INK, "currentColor")
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    svg = re.sub(r'<svg ([^>]*?)(?:width|height)="[^"]*" ?', r"<svg \1", svg)
    svg = re.sub(r'<svg ([^>]*?)(?:width|height)="[^"]*" ?', r"<svg \1", svg, count=1)
    own = hashlib.blake2b((svg + label).encode(), digest_size=4).hexdigest()  # a page may have several
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>f{own}-", svg)
    return svg.replace("<svg ", f'<svg class="strips" role="img" aria-label="{escape(label)}" ', 1).strip() + "\n"


def _strip(axes: Any, strip: Strip) -> None:
    e = strip.effect
    axes.axvline(0, color=MUTED, lw=1, ls=(0, (3, 3)))
    if strip.values:
        level = [0.62 + 0.1 * (i % 3) for i in range(len(strip.values))]  # so that equal seeds don't hide one another
        axes.plot(strip.values, level, "o", ms=4.5, mfc="none", mec=MUTED, mew=1.1)
    height = 0.25 if strip.values else 0.5
    axes.plot([e["low"], e["high"]], [height, height], color=ACCENT, lw=2.5, solid_capstyle="butt")
    axes.plot([e["mean"]], [height], "D", ms=7, color=ACCENT, mfc=ACCENT if strip.holds else "none", mew=1.6)
    axes.set(yticks=[], ylim=(0, 1))
    axes.set_title(strip.title, loc="left", fontsize=10, pad=3)
    axes.spines[["left", "top", "right"]].set_visible(False)
    axes.locator_params(axis="x", nbins=5)
    axes.margins(x=0.06)


def figure(svg: str, caption: str) -> str:
    """As it stands on a page."""
    return f'<figure class="evidence">{svg}<figcaption>{escape(caption)}</figcaption></figure>'
