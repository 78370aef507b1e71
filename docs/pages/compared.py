"""Methods side by side: what each gained where it was proved, what it costs, and what it has to be given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from pages import figures
from pages.facts import Method, mark
from pages.markdown import code, raw, table
from understudy.cli.show import OWN

OURSELVES = frozenset({"self", "average"})
WAYS = {  # by tag, the first that fits
    "teacher": "a teacher",
    "average": "its average",
    "self": "itself",
    "game": "its players",
}


def page(found: Sequence[Method], cache: Path) -> str:
    """Those whose teacher is made of the student first, then all others by family."""
    own = [m for m in found if OURSELVES & m.card.tags]
    rest = [m for m in found if m not in own]
    parts = ["# Side by side", "What each method gained over its baseline where it was proved, with the 95 % interval over paired seeds; how often it calls a network "
             "in a step (at most), how many steps it had, and how long its proof took, on machines that weren't all equally busy; and what it was given: who teaches, and "
             "labels that are known and hidden (of rows, or of objects, pixels or words where those are labelled). An effect is one of its own world, against its own "
             "baseline: across worlds, the larger one isn't the better method. [What a proof is](../../guide/proofs.md)."]  # fmt: skip
    for title, group in (
        ("Teachers made of the student itself", own),
        *((f, list(ms)) for f, ms in groupby(rest, key=lambda m: m.family)),
    ):
        parts += section(title, group, cache)
    return "\n\n".join(parts)


def section(title: str, group: Iterable[Method], cache: Path) -> list[str]:
    proved = [(m, p) for m in group for p in m.proofs]
    if not proved:
        return []
    parts = [f"## {title}", f"{sum(p['holds'] for _, p in proved)} of {len(proved)} proofs hold."]
    shares = [(name(m, p), p["effect"], p["holds"]) for m, p in proved if p.get("share", True)]
    if len(shares) > 1:
        about = "Diamond and bar: mean and 95 % interval of the paired differences to the baseline, filled where the whole proof holds."
        parts.append(raw(figures.figure(figures.forest(shares, cache), about)))
    head = ["method", "proof", "gain", "calls a step", "steps", "proof, s", "taught by", "labels", "world"]
    return [*parts, table(head, [row(m, p) for m, p in proved])]


def name(m: Method, found: Mapping[str, Any]) -> str:
    data = found.get("data", OWN)
    return m.name if data == OWN else f"{m.name} ({data})"


def row(m: Method, found: Mapping[str, Any]) -> list[str]:
    mean, half = found["effect"]["mean"], found["effect"]["high"] - found["effect"]["mean"]
    gain = f"{100 * mean:+.1f} ± {100 * half:.1f}" if found.get("share", True) else f"{mean:+.3g} ± {half:.2g} {found['metric']}"
    data = found.get("data", OWN)
    return [f"[{m.name}]({m.name}.md)", mark(found), gain, str(m.card.forwards), f"{found['updates']:,}", f"{found['seconds']:,.0f}", taught(m), labels(found),
            code(found["world"]) + ("" if data == OWN else f" on {code(data)}")]  # fmt: skip


def taught(m: Method) -> str:
    way = next((way for tag, way in WAYS.items() if tag in m.card.tags), "nobody")
    return f"{way}, as rows arrive" if "stream" in m.card.tags else way


def labels(found: Mapping[str, Any]) -> str:
    told = found.get("labels")
    return "" if told is None else f"{told['known']:,}" + (f", {told['hidden']:,} hidden" if told["hidden"] else "")
