"""understudy prove"""

from __future__ import annotations

import functools
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated, Any

from rich.table import Table
from rich.text import Text
from typer import Argument, Option

from understudy.cli.shared import BROKEN, OK, Answer, bars, complete_methods, entry
from understudy.core import registry
from understudy.core.errors import Refused, Unwritable, refuse

EXAMPLES = ("understudy prove dkd", "understudy prove --all --new --jobs 8")


def prove(
    names: Annotated[
        list[str] | None, Argument(help="Methods.", metavar="NAME...", autocompletion=complete_methods, show_default=False)
    ] = None,
    *,
    every: Annotated[bool, Option("--all", help="All methods that have a baseline.")] = False,
    new: Annotated[bool, Option("--new", help="Leave out those that the folder has a proof of.")] = False,
    seeds: Annotated[int, Option(min=2, help="Pairs of trainings.")] = 10,
    folder: Annotated[Path, Option(help="Where proofs are written.")] = Path("proofs"),
    jobs: Annotated[int, Option(min=1, help="Processes.")] = 2,
    data: Annotated[
        Path | None,
        Option(
            help="Real data for the world of the method, which is named; the proof goes to FOLDER/<name of the data>.",
            show_default=False,
        ),
    ] = None,
) -> Answer:
    """Does a method help, and because of the teacher?

    Paired over seeds, against its baseline and against a placebo teacher; written as it comes out. Stopped and begun again, it goes
    on from the trainings that were over."""
    chosen = _chosen(names or [], every)
    if data is not None:
        if every or len(chosen) > 1:
            raise refuse("--data", str(data), "for one method at a time", "name the method")
        folder = folder / data.name
    if new:
        chosen = [n for n in chosen if not (folder / f"{n.replace('-', '_')}.json").exists()]
    results: dict[str, dict[str, Any] | str] = {}
    with bars() as bar:
        bar("proofs", 0, len(chosen))
        for name, result in _prove(chosen, seeds, min(jobs, len(chosen)), bar, str(data or ""), folder):
            results[name] = result
            if isinstance(result, dict):
                from understudy.prove import publish

                publish(result, folder)
            bar("proofs", len(results), len(chosen))
    table = Table.grid(padding=(0, 2, 0, 0))
    for name in chosen:
        result = results[name]
        holds = isinstance(result, dict) and result["holds"]
        table.add_row(
            Text("✔", "bold green") if holds else Text("✘", "bold red"),
            Text(name, "bold"),
            result["verdict"] if isinstance(result, dict) else result,
        )
    plain = {n: r if isinstance(r, dict) else {"error": r} for n, r in results.items()}
    kept = all(isinstance(r, dict) and r["holds"] for r in results.values())
    if not chosen:
        return Answer({}, Text("nothing left to prove", "dim"))
    return Answer(plain, table, OK if kept else BROKEN)


def _chosen(names: list[str], every: bool) -> list[str]:
    if not names and not every:
        raise refuse("NAME", "", "one method or more, or --all", "see `understudy list`")
    if names and every:
        raise refuse("--all", " ".join(names), "alone, or names without --all")
    found = list(dict.fromkeys(entry(n).name for n in names))
    for name in found:
        if entry(name).card.baseline is None:
            raise refuse("method", name, "a method with a baseline to be better than", f"'{name}' is what others are measured by")
    return found or [e.name for e in registry.entries().values() if e.card.baseline is not None]


def _prove(
    names: list[str], seeds: int, jobs: int, bar: Callable[[str, int, int], None], data: str, folder: Path
) -> Iterator[tuple[str, dict[str, Any] | str]]:
    """As they are done; a method that stops doesn't stop the others."""
    if jobs <= 1:
        for name in names:
            yield name, _one(name, seeds, functools.partial(bar, name), data, folder=folder)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        waiting = {pool.submit(_one, name, seeds, data=data, folder=folder): name for name in names}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _one(
    name: str, seeds: int, say_: Callable[[int, int], Any] = lambda *_: None, data: str = "", *, folder: Path
) -> dict[str, Any] | str:
    """A proof, or why there is none. One thread, so that the bits don't depend on the machine's number of cores."""
    import torch

    from understudy.prove import prove, unfinished

    torch.set_num_threads(1)
    try:
        return prove(name, seeds, say_, data, unfinished(folder, name))
    except Unwritable:
        raise
    except Refused as e:
        return str(e)
