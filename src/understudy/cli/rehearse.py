"""understudy rehearse"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

from rich.console import Group
from rich.text import Text
from typer import Argument, Option

from understudy.cli.compare import _method as configured
from understudy.cli.shared import Answer, bars, complete_methods, entry

EXAMPLES = (
    "understudy rehearse dmd2",
    "understudy rehearse 'alp-gmm?explore=1'",
    "understudy rehearse margin-mse --data cranfield/ --against",
)


def rehearse(
    name: Annotated[str, Argument(help="Method, with settings if you like: 'dmd2?gan=0'.", metavar="METHOD", autocompletion=complete_methods)],
    *,
    world: Annotated[str, Option(help="Another world than the method's own.", show_default=False)] = "",
    data: Annotated[Path | None, Option(help="Real data, for worlds that can read some.", show_default=False)] = None,
    seed: Annotated[int, Option(min=0, help="Of the networks, the rows and chance.")] = 0,
    steps: Annotated[int | None, Option(min=1, help="Budget of updates; the world's own by default.", show_default=False)] = None,
    against: Annotated[bool, Option("--against", help="Train the method's baseline too, on the same world and seed.")] = False,
    folder: Annotated[Path, Option(help="Where what came of it is kept.")] = Path("runs"),
    report: Annotated[Path | None, Option(help="Where the page goes: an .html file or a folder; by default beside what was made.", show_default=False)] = None,
) -> Answer:  # fmt: skip
    """See a published system run on a world of its own kind, or on real data of that kind.

    The world needs no download; what was made is kept in a folder of its own, with a page of it: pictures of what is drawn, found or
    told apart where the method is for that, its score and how it learned."""
    entry(name.partition("?")[0])
    with bars() as bar:
        from understudy.rehearsal import rehearse as go

        method = configured(name)
        where = folder / f"rehearsal-{method.name}-{seed}"
        done = {method.name: go(method, world, data=data, seed=seed, steps=steps, folder=where, say=bar)}
        if against and method.card.baseline is not None:
            from understudy.prove import baseline_of

            other = baseline_of(method)
            label = other.name if other.name != method.name else f"{other.name}, idea off"
            done[label] = go(other, world or method.card.world, data=data, seed=seed, steps=steps, say=bar)
        (label, first), *others = done.items()
        page = report or where
        page = page if page.suffix == ".html" else page / "report.html"
        first.report(page, against=dict(others), command=_again(name, world, data, seed, steps, against))
    lines = [Text.assemble((f"{label:<24}", "bold"), (_score(r.score, r.run.world.share), "bold cyan"),
                           (f"  {r.run.world.metric} · {r.run.step:,} updates · {r.seconds:.1f} s", "dim")) for label, r in done.items()]  # fmt: skip
    where_ = Text(f"{first.folder}/artefact.safetensors  rehearsal.json  ·  {page}", "dim", overflow="fold")
    return Answer({label: r.told for label, r in done.items()}, Group(*lines, where_))


def _again(name: str, world: str, data: Path | None, seed: int, steps: int | None, against: bool) -> str:
    """What to type to see it again."""
    given = (("--world", world), ("--data", data), ("--seed", seed), ("--steps", steps))
    said = [str(w) for flag, value in given if value not in (None, "", 0) for w in (flag, value)]
    return shlex.join(["understudy", "rehearse", name, *said, *(["--against"] if against else [])])


def _score(value: float, share: bool) -> str:
    return f"{100 * value:6.1f} %" if share else f"{value:8.4g}"
