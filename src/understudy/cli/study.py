"""understudy study"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text
from typer import Argument, Option

from understudy import studies
from understudy.cli.shared import BROKEN, OK, Answer, Interrupted, bars
from understudy.core.errors import refuse

EXAMPLES = ("understudy study kd-fidelity-paradox", "understudy study teacher-hacking --seeds 2 --folder /tmp/studies")


def study(
    name: Annotated[str, Argument(help="A study's name.", autocompletion=lambda: list(studies.files()))],
    seeds: Annotated[int | None, Option(min=2, help="Pairs of trainings; those that its card says.", show_default=False)] = None,
    folder: Annotated[Path, Option(help="Where studies are written.")] = Path("proofs/studies"),
    data: Annotated[
        Path | None,
        Option(help="Real data for a study that reads some, instead of rows that its world makes.", show_default=False),
    ] = None,
    small: Annotated[bool, Option("--small", help="Seconds instead of minutes, to see it run; goes to FOLDER/small.")] = False,
) -> Answer:
    """Does a claim about distillation come out in a small world?

    Every cell of its grid is trained under every seed, and the outcome is written as it comes out. A study that was stopped
    goes on where it was."""
    from understudy.study import publish, run

    found = studies.get(name)
    if data is not None:
        if not found.reads:
            raise refuse("--data", str(data), f"nothing: '{found.name}' makes its own rows", "leave it out")
        if not data.exists():
            raise refuse("--data", str(data), "a folder or file that exists")
        found.data = str(data)
    seeds = seeds or found.card.seeds
    where = folder / "small" if small else folder
    try:
        with bars() as bar:
            result = run(found, seeds, where, lambda done, of: bar(found.name, done, of), small)
    except KeyboardInterrupt:
        raise Interrupted(f"stopped; go on with: understudy study {found.name} --seeds {seeds} --folder {folder}") from None
    path = publish(result, where)
    brief = {k: v for k, v in result.items() if k != "cells"}
    return Answer(brief | {"file": str(path)}, view(result), OK if result["holds"] else BROKEN)


def view(result: dict[str, Any]) -> Group:
    """The parts of a claim and how each came out."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for f in result["findings"]:
        mark = Text("✔", "bold green") if f["holds"] else Text("✘", "bold red")
        table.add_row(mark, f["what"], studies.Finding(**f).told.removeprefix(f["what"] + ": "))
    verdict = "holds" if result["holds"] else "not reproduced at this scale"
    return Group(Text(result["claim"], "bold"), table, Text.assemble(verdict, (f"  {len(result['seeds'])} seeds", "dim")))
