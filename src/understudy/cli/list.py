"""understudy list"""

from __future__ import annotations

from itertools import groupby
from typing import Annotated

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from typer import Option

from understudy.cli.shared import Answer, complete_families, out
from understudy.core import registry
from understudy.core.card import TAGS
from understudy.core.errors import nearest, refuse

EXAMPLES = ("understudy list", "understudy list --family logit", "understudy list --tag taps --json", "understudy list --studies")


def methods(
    family: Annotated[str | None, Option(help="Only of this family.", autocompletion=complete_families)] = None,
    tag: Annotated[str | None, Option(help=f"Only with this tag: {', '.join(TAGS)}.", autocompletion=lambda: list(TAGS))] = None,
    studies: Annotated[bool, Option("--studies", help="Studies instead: claims that are no method.")] = False,
) -> Answer:
    """Every method: name, family, year, title and idea."""
    if studies:
        if family or tag:
            raise refuse("--studies", family or tag, "without --family and --tag")
        return _studies()
    found = sorted(registry.entries().values(), key=lambda e: (e.family, e.card.year, e.name))
    families = sorted({e.family for e in found})
    if family is not None and family not in families:
        raise refuse("--family", family, f"one of {', '.join(families)}{nearest(family, families)}")
    if tag is not None and tag not in TAGS:
        raise refuse("--tag", tag, f"one of {', '.join(TAGS)}{nearest(tag, TAGS)}")
    found = [e for e in found if family in (None, e.family) and (tag is None or tag in e.card.tags)]
    data = [{"name": e.name, "family": e.family, "year": e.card.year, "title": e.card.title, "idea": e.idea, "paper": e.card.paper,
             "tags": sorted(e.card.tags)} for e in found]  # fmt: skip
    if not out().is_terminal:  # for grep, cut and sort
        return Answer(data, "".join(f"{e.name}\t{e.family}\t{e.card.year}\t{e.card.title}\t{e.idea}\n" for e in found))
    return Answer(data, _view(found))


def _studies() -> Answer:
    from understudy.studies import entries

    found = sorted(entries().values(), key=lambda e: (e.card.year, e.name))
    data = [
        {"name": e.name, "year": e.card.year, "title": e.card.title, "claim": e.card.claim, "paper": e.card.paper} for e in found
    ]
    if not out().is_terminal:
        return Answer(data, "".join(f"{e.name}\t{e.card.year}\t{e.card.title}\t{e.card.claim}\n" for e in found))
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(style="bold cyan", no_wrap=True)
    table.add_column(width=4, style="dim")
    table.add_column(ratio=1)
    for e in found:
        table.add_row(e.name, str(e.card.year), Text.assemble(e.card.claim, "\n", (e.card.title, "dim italic")))
    return Answer(data, Group(table, Text("\nunderstudy show NAME tells more, understudy study NAME tries it", "dim")))


def _view(found: list[registry.Entry]) -> Group:
    parts: list[RenderableType] = []
    width = max((len(e.name) for e in found), default=0)
    for family, group in groupby(found, key=lambda e: e.family):
        entries = list(group)
        table = Table.grid(padding=(0, 2, 0, 0), expand=True)
        table.add_column(width=width, style="bold cyan", no_wrap=True)
        table.add_column(width=4, style="dim")
        table.add_column(ratio=1)
        for e in entries:
            table.add_row(e.name, str(e.card.year), Text.assemble(e.idea, "\n", (e.card.title, "dim italic")))
        parts += [Text.assemble(("\n" if parts else "") + family, (f"  {len(entries)}", "not bold dim"), style="bold"), table]
    many = f"{len(found)} method{'s' * (len(found) != 1)}"
    return Group(*parts, Text(f"\n{many} · understudy show NAME tells more", "dim"))
