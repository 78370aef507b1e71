"""Lists of methods: by family, task, tag and year, by what one has, and what each is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from html import escape
from itertools import groupby
from pathlib import Path

from pages import compared, methodpage
from pages.code import doc
from pages.facts import VERBS, Method
from pages.markdown import Folder, cell, code, raw, table, toc
from pages.situations import SITUATIONS, Situation
from understudy.core.card import TAGS

MARKS = "✔ the proof holds, ✘ it is published as not reproduced at this scale, empty: none is committed."


def link(m: Method, label: str = "") -> str:
    return f"[{label or m.name}]({m.name}.md)"


def listed(found: Iterable[Method]) -> str:
    return table(["method", "year", "idea", "proof"], [[link(m), str(m.card.year), cell(m.idea), m.mark] for m in found])


def inline(found: Iterable[Method], note: Callable[[Method], str] = lambda m: "") -> str:
    """By family, in few lines."""
    rows = []
    for family, group in groupby(found, key=lambda m: m.family):
        rows.append([f"[{family}](family-{family}.md)", " · ".join(f"{link(m)}{note(m)} {m.mark}".strip() for m in group)])
    return table(["family", "methods"], rows)


def target(name: str) -> str:
    return f"({name})="


def write(folder: Folder, all_: Mapping[str, Method], cache: Path) -> None:
    """Every method's page, and the lists."""
    found = list(all_.values())
    families = {f: list(ms) for f, ms in groupby(found, key=lambda m: m.family)}
    lists = {
        "have": have(found),
        "tasks": tasks(found),
        "tags": tags(found),
        "years": years(found),
        "verbs": verbs(found),
        "compared": compared.page(found, cache),
    }
    taken = [n for n in all_ if n in (*lists, "index") or n.startswith("family-")]
    if taken:
        raise ValueError(f"methods named as lists are: {taken}")
    for m in found:
        folder.write(f"_generated/methods/{m.name}.md", methodpage.page(m, all_, cache))
    for family, ms in families.items():
        text = [
            f"# {family}",
            f"{len(ms)} of {len(found)} [methods](index.md). {MARKS}",
            listed(ms),
            toc(*(m.name for m in ms), hidden=True),
        ]
        folder.write(f"_generated/methods/family-{family}.md", "\n\n".join(text))
    for name, text in lists.items():
        folder.write(f"_generated/methods/{name}.md", text)
    told = Counter(m.mark for m in found)
    top = ["# Methods", f"{len(found)} published methods; of {told['✔'] + told['✘']} proofs {told['✔']} hold. {MARKS}",
           "Not by family but by [what you have](have.md), [task](tasks.md), [tag](tags.md), [year](years.md), [side by side](compared.md), by [what each is made of](verbs.md), "
           "or by the [parts](../parts/index.md) that they share.",
           *(part for family, ms in families.items() for part in (f"## {family}", listed(ms))),
           toc(*lists, *(f"family-{f}" for f in families), hidden=True)]  # fmt: skip
    folder.write("_generated/methods/index.md", "\n\n".join(top))


def have(found: list[Method]) -> str:
    """Every situation is a section, which the list at the top leads to; where a script may run, several can be ticked together."""
    parts = ["# What do I have?", "Which methods fit, told from their cards and their code by the rule that stands under each heading. " + MARKS,
             raw(ticks(found)), "\n".join(f"- [{s.title}](#have-{s.key}): {sum(map(s.fits, found))}" for s in SITUATIONS)]  # fmt: skip
    for s in SITUATIONS:
        fits = [m for m in found if s.fits(m)]
        parts += [
            target(f"have-{s.key}"),
            f"## {s.title}",
            f"*{s.rule}*",
            inline(fits, _note(s)) if fits else "None of the methods here.",
        ]
    return "\n\n".join(parts)


def ticks(found: list[Method]) -> str:
    """All methods, of which `_static/have.js` shows those that fit every box that is ticked."""
    boxes = "".join(f'<label><input type="checkbox" value="{s.key}"> {escape(s.title)}</label>' for s in SITUATIONS)
    rows = "".join(f'<li data-fits="{" ".join(s.key for s in SITUATIONS if s.fits(m))}"><a href="{m.name}.html">{m.name}</a> {m.mark} {escape(m.idea)}</li>'
                   for m in found)  # fmt: skip
    return (f'<form class="have" hidden><fieldset><legend>Tick all that holds</legend>{boxes}</fieldset><p role="status"></p><ul>{rows}</ul></form>'
            '<script src="../../_static/have.js"></script>')  # fmt: skip


def _note(s: Situation) -> Callable[[Method], str]:
    def note(m: Method) -> str:
        if s.key != "no-labels" or not m.unlabelled:
            return ""
        return " (the teacher writes)" if m.unlabelled == "teacher" else f" ({code(m.unlabelled)})"

    return note


def tasks(found: list[Method]) -> str:
    named = sorted({t for m in found for t in m.card.tasks})
    parts = ["# By task", "What a student is for. A card that names no task is for any: where there are no classes, the task's own soft loss is taken. " + MARKS,
             target("task-any"), "## any", inline([m for m in found if not m.card.tasks])]  # fmt: skip
    for t in named:
        parts += [
            target(f"task-{t}"),
            f"## {t}",
            cell(doc(f"understudy.tasks.{t}").split("; ")[0]),
            inline([m for m in found if t in m.card.tasks]),
        ]
    return "\n\n".join(p for p in parts if p)


def tags(found: list[Method]) -> str:
    parts = ["# By tag", "What a card says a method needs; the tags choose the checks of its contract. " + MARKS]
    for tag, about in TAGS.items():
        fits = [m for m in found if tag in m.card.tags]
        parts += [f"## {tag}", cell(about[0].upper() + about[1:]) + ".", inline(fits) if fits else "None of the methods here."]
    return "\n\n".join(parts)


def years(found: list[Method]) -> str:
    parts = ["# By year", f"When it was published. {MARKS}"]
    for year in sorted({m.card.year for m in found}, reverse=True):
        parts += [target(f"year-{year}"), f"## {year}", inline([m for m in found if m.card.year == year])]
    return "\n\n".join(parts)


def verbs(found: list[Method]) -> str:
    """Which verbs each method writes itself, which parts it takes, and in which world it lives."""
    rows = [[link(m), m.card.world, " ".join(v for v in VERBS if v in m.verbs), " ".join(f"[{p}](../parts/{p}.md)" for p in sorted(m.parts)),
             str(len(m.path.read_text().splitlines()))] for m in found]  # fmt: skip
    return "\n\n".join(["# Verbs and parts", "Which verbs a method writes itself (for the others the core's own hold), and which parts it takes. No method "
                        "imports another, and the core knows none of them by name.", table(["method", "world", "verbs", "parts", "lines"], rows)])  # fmt: skip
