"""understudy advise"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from typer import Option

from understudy.cli.settings import BUDGET, WHAT, WHERE
from understudy.cli.shared import Answer, Interrupted, bars
from understudy.config import Config

if TYPE_CHECKING:
    from understudy.advice import Advice

EXAMPLES = ('understudy advise --teacher digits --data digits --budget "params<10k, latency<2ms"',
            "understudy advise --teacher sklearn:gradient-boosting --data csv:mails.csv --target kind --student tiny-mlp",
            "understudy advise --data digits --budget 'params<5k' --search 20")  # fmt: skip


def advise(
    config: Config,
    *,
    student: Annotated[
        str | None,
        Option(help="The model that learns: an address; left out, one that fits the budget is proposed.", rich_help_panel=WHAT),
    ] = None,
    budget: Annotated[
        str,
        Option(
            help="What a student may cost: params<1M, latency<2ms, bytes<500kB, flops<10M; a tenth of the teacher's parameters when left out.",
            rich_help_panel=BUDGET,
        ),
    ] = "",
    search: Annotated[
        float, Option(min=0, help="Full trainings that a search may cost; 0 searches nothing.", rich_help_panel=BUDGET)
    ] = 0,
    proofs: Annotated[Path, Option(help="Where proofs are kept.", rich_help_panel=WHERE)] = Path("proofs"),
) -> Answer:
    """What to do about a teacher, rows and a budget: a student, a method, its settings, and why.

    Looks at training and validation rows, never at the test rows; trains nothing but a teacher that has no weights, unless --search says how much."""
    from understudy.advice import DEFAULT, counsel

    named = student or (config.student if config.student != DEFAULT else None)
    config = dataclasses.replace(config, student=named or DEFAULT)
    with again(), bars() as bar:
        advice = counsel(config, chosen=named is not None, budget=budget, trainings=search, proofs=proofs, bar=bar)
    return Answer(advice.to_dict(), view(advice))


@contextlib.contextmanager
def again() -> Iterator[None]:
    """Ctrl-C says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted("stopped; the same command goes on with its search") from None


def view(a: Advice) -> Group:
    """What was seen, what is proposed and why, what isn't known, and the command."""
    parts: list[RenderableType] = [
        _head("What there is"),
        _seen(a),
        _head("Students that fit" if len(a.students) > 1 else "The student"),
        _students(a),
    ]
    parts += [_head("Proposed"), _proposals(a), _head("Proofs behind it, and against others"), _proofs(a)]
    if a.found is not None:
        parts += [_head("Found by search"), _found(a)]
    parts += [_head("Not known"), *(Padding(Text("? " + d), (0, 0, 0, 2)) for d in a.doubts)]
    return Group(*parts, _head("To do it"), Text("\n".join(pasted(a.command)), "bold cyan"))


def pasted(command: str) -> list[str]:
    """A command in lines no longer than the terminal is wide, which can be pasted as they are; a call in Python stays as it is."""
    if not command.startswith("understudy distill"):
        return [command]
    room, lines = min(100, shutil.get_terminal_size().columns - 2), [""]
    for pair in re.split(r" (?=--)", command):  # an option stays beside its value
        if lines[-1] and len(lines[-1]) + len(pair) + 3 > room:
            lines[-1] += " \\"
            lines.append("  " + pair)
        else:
            lines[-1] += (" " if lines[-1] else "") + pair
    return lines


def _head(text: str) -> Text:
    return Text("\n" + text, "bold")


def _grid() -> Table:
    return Table.grid(padding=(0, 2, 0, 0))


def _seen(a: Advice) -> Table:
    table = _grid()
    for name, said in a.situation.said():
        table.add_row(Text("  " + name, "dim"), said)
    return table


def _students(a: Advice) -> Table:
    from understudy.advice.budget import told

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for title in ("", "parameters", "bytes", "ms a row", "flops", "like the teacher"):
        table.add_column(title, justify="right" if title else "left")
    for i, c in enumerate(a.students):
        flops = "" if c.cost.flops is None else told("flops", c.cost.flops, plain=True)
        table.add_row(Text(("★ " if i == 0 else "  ") + c.address, "bold green" if i == 0 else ""), f"{c.cost.params:,}", told("bytes", c.cost.bytes, plain=True),
                      f"{c.cost.latency:.2f}", flops, "" if c.similarity is None else f"{c.similarity:.2f}")  # fmt: skip
    return table


def _proposals(a: Advice) -> Table:
    table = _grid()
    for p in a.proposals:
        table.add_row(Text("  " + p.rule, "bold"), Text(", ".join(f"{k}={v}" for k, v in p.sets.items()), "cyan"), p.reason)
    return table


def _proofs(a: Advice) -> Table:
    """Each once, whichever rule leans on it."""
    table = _grid()
    if all(proof.holds is None for proof in a.proofs):
        table.add_row(Text("  none at hand; --proofs names the folder where they are", "dim"))
        return table
    for proof in a.proofs:
        mark, style = {True: ("✔", "green"), False: ("✘", "yellow"), None: ("–", "dim")}[proof.holds]
        rules = ", ".join(p.rule for p in a.proposals if proof.method in p.methods)
        table.add_row(Text("  " + mark, style), Text(proof.method, "bold"), proof.told, Text(rules, "dim"))
    return table


def _found(a: Advice) -> Table:
    f = a.found
    assert f is not None
    table = _grid()
    share = lambda v: f"{100 * v:.1f} %" if a.situation.share else f"{v:.4g}"
    settings = ", ".join(f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in f.settings.items())
    table.add_row(Text("  settings", "dim"), settings)
    table.add_row(Text("  validation rows", "dim"), f"{share(f.valid)}, by which it was chosen")
    table.add_row(Text("  test rows", "dim"), f"{share(f.test)}, asked once")
    table.add_row(
        Text("  cost", "dim"), f"{f.spent:.1f} full trainings: {f.trials} trials, of which {f.stopped} were stopped early"
    )
    return table
