"""The pages of studies, and their list with what came out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pages import figures
from pages.code import ROOT
from pages.facts import published
from pages.markdown import Folder, block, cell, code, fold, paper, plain, prose, raw, table, toc
from pages.methodpage import scene
from understudy.cli.show import protocol
from understudy.studies import Entry, entries


def mark(found: Mapping[str, Any] | None) -> str:
    return "" if found is None else "✔" if found["holds"] else "✘"


def came_out(found: Mapping[str, Any] | None, name: str, cache: Path) -> list[str]:
    """The outcome part by part, as picture and table."""
    if found is None:
        return [f"None is committed yet. `understudy study {name}` makes it."]
    rows = []
    for f in found["findings"]:
        e = f["effect"]
        rows.append(["✔" if f["holds"] else "✘", cell(f["what"]), f"{e['mean']:+.3g}", f"{e['low']:+.3g} to {e['high']:+.3g}"])
    held = sum(f["holds"] for f in found["findings"])
    verdict = "holds" if found["holds"] else f"not reproduced at this scale: {held} of {len(rows)} parts hold"
    about = (f"{len(found['seeds'])} seeds; {len(found['cells'])} cells; {found['seconds']:,.0f} s; "
             + ", ".join(f"{k} {v}" for k, v in found["versions"].items()))  # fmt: skip
    caption = "A part of the claim each, with its 95 % interval over seeds; filled where it came out as claimed. Every part has an axis of its own."
    svg = figures.drawn(figures.study_strips(found), "", cache)
    return [f"{mark(found)} **{verdict}**", raw(figures.figure(svg, caption)), fold("In figures", table(["", "part of the claim", "mean", "95 % interval"], rows)),
            about + "."]  # fmt: skip


def page(entry: Entry, found: Mapping[str, Any] | None, cache: Path) -> str:
    card, stem, name = entry.card, entry.path.stem, entry.name
    grid = [[code(k), ", ".join(map(str, v))] for k, v in (found or {"grid": {}})["grid"].items()]
    facts = [["paper", paper(card.paper)], ["year", str(card.year)], ["tried in", ", ".join(f"the world `{w}`" for w in card.worlds)],
             ["seeds", str(card.seeds)], ["seed row", code(card.slug)]]  # fmt: skip
    parts = [
        f"# {name}",
        "[Studies](index.md)",
        f"*{cell(card.title)}* ({card.year}), {paper(card.paper)}",
        f"> {plain(card.claim)}",
        *scene(stem, name),
    ]
    parts += ["## Protocol", *map(prose, protocol(entry.path)), *([table(["setting", "values"], grid)] if grid else [])]
    again = found["command"] if found else f"understudy study {name}"
    run = dict.fromkeys([f"understudy study {name} --small", again, f"understudy show {name}"])
    parts += [
        "## Outcome",
        *came_out(found, name, cache),
        "## Run it",
        block("\n".join(run), "sh"),
        "## Card",
        table(["what", "value"], facts),
    ]
    lines = entry.path.read_text().rstrip()
    return "\n\n".join(
        [*parts, "## Code", f"`{entry.path.relative_to(ROOT)}`, {len(lines.splitlines())} lines", block(lines, "python")]
    )


def write(folder: Folder, cache: Path) -> int:
    """A page a study, and their list."""
    found = sorted(entries().values(), key=lambda e: (e.card.year, e.name))
    came = {e.name: published("proofs/studies", e.path.stem) for e in found}
    rows = []
    for e in found:
        f = came[e.name]
        held = f"{mark(f)} {sum(x['holds'] for x in f['findings'])} of {len(f['findings'])}" if f else ""
        rows.append([f"[{e.name}]({e.name}.md)", str(e.card.year), cell(e.card.claim), held])
        folder.write(f"_generated/studies/{e.name}.md", page(e, f, cache))
    parts = ["# Studies", "Claims of papers that propose no method, each as an experiment; ✔ it came out so, ✘ it is published as not reproduced at this "
             "scale, with how many parts of the claim hold. [What a study is](../../guide/studies.md).", table(["study", "year", "claim", "outcome"], rows),
             toc(*(e.name for e in found), hidden=True)]  # fmt: skip
    folder.write("_generated/studies/index.md", "\n\n".join(parts))
    return len(found)
