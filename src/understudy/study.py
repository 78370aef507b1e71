"""Run a study cell by cell: it can be stopped and goes on where it was, and is published as it comes out."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from understudy.core.files import write_atomically
from understudy.core.fit import fit
from understudy.core.method import Method
from understudy.core.run import Run, artefact, start
from understudy.core.world import World
from understudy.kept import table, understood
from understudy.studies import Cell, Finding, Study, files

Say = Callable[[int, int], None]


def trained(method: Method, world: World, seed: int, after: Callable[[Run], None] | None = None) -> torch.nn.Module:
    """What a run made; after: called between steps."""
    made = artefact(fit(start(method, world, seed, device="cpu"), after=after))
    assert isinstance(made, torch.nn.Module)
    return made


def run(study: Study, seeds: int, folder: Path, say: Say = lambda *_: None, small: bool = False) -> dict[str, Any]:
    """Measure every cell under every seed, and say what came out: what `<folder>/<name>.json` holds.

    After each cell `<name>.part.json` is written, and taken up again where study, grid and versions are the same. say(done, of)
    is told how far it is. One thread, so that the bits don't depend on the machine's number of cores.
    """
    plan = [(seed, at) for seed in range(seeds) for at in study.cells(small)]  # seed by seed, so that what they share is near
    path = _path(study, folder, ".part.json")
    head = {"study": study.name, "file": _print(study), "small": small, "versions": versions()} | _named(study)
    known = _taken_up(path, head)
    with _one_thread():
        for i, (seed, at) in enumerate(plan):
            key = json.dumps([at, seed])
            if key not in known:
                begun = time.perf_counter()
                got = study.measure(at, seed, small)
                known[key] = {"at": at, "seed": seed, "got": got, "seconds": round(time.perf_counter() - begun, 2)}
                write_atomically(path, json.dumps(head | {"cells": list(known.values())}))
            say(i + 1, len(plan))
    cells = [known[json.dumps([at, seed])] for seed, at in plan]
    return (
        told(study, cells)
        | {
            "grid": {k: list(v) for k, v in (study.little if small else study.grid).items()},
            "seeds": list(range(seeds)),
            "seconds": round(sum(c["seconds"] for c in cells), 1),
            "versions": head["versions"],
            "command": f"understudy study {study.name} --seeds {seeds}"
            + (f" --data {Path(study.data).name}" if study.data else ""),
            "cells": cells,
        }
        | _named(study)
    )


def told(study: Study, cells: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The outcome of what was measured."""
    found: list[Finding] = study.outcome([Cell(c["at"], c["seed"], c["got"]) for c in cells])
    holds = all(f.holds for f in found)
    kept = sum(f.holds for f in found)
    verdict = "holds" if holds else f"not reproduced at this scale ({kept} of {len(found)} parts hold)"
    return {
        "study": study.name,
        "claim": study.card.claim,
        "worlds": list(study.card.worlds),
        "holds": holds,
        "verdict": f"{verdict}: " + "; ".join(("" if f.holds else "not ") + f.told for f in found),
        "findings": [dataclasses.asdict(f) for f in found],
    }


def publish(result: dict[str, Any], folder: Path) -> Path:
    """Write a study as it came out, a cell a line; its parts are no longer needed."""
    stem = result["study"].replace("-", "_")
    lines = ",\n  ".join(json.dumps(c) for c in result["cells"])
    text = json.dumps(result | {"cells": []}, indent=1, allow_nan=False).replace('"cells": []', f'"cells": [\n  {lines}\n ]')
    path = write_atomically(folder / f"{stem}.json", text + "\n")
    (folder / f"{stem}.part.json").unlink(missing_ok=True)
    return path


def versions() -> dict[str, str]:
    return {"torch": torch.__version__, "python": platform.python_version()}


def _path(study: Study, folder: Path, ending: str) -> Path:
    return folder / f"{study.name.replace('-', '_')}{ending}"


def _named(study: Study) -> dict[str, str]:
    return {"data": Path(study.data).name} if study.data else {}


def _print(study: Study) -> str:
    """A study that was edited is another one."""
    return hashlib.blake2b(files()[study.name].read_bytes(), digest_size=8).hexdigest()


def _taken_up(path: Path, head: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The cells that were measured before, by key; none where anything else has changed."""
    if not path.is_file():
        return {}
    with understood(path, "cells of a study", "it is damaged: delete it to measure them again"):
        before = table(path)
        if any(before.get(k) != v for k, v in head.items()):
            return {}
        cells = [
            {"at": c["at"], "seed": c["seed"], "got": dict(c["got"].items()), "seconds": float(c["seconds"])}
            for c in before["cells"]
        ]
    return {json.dumps([c["at"], c["seed"]]): c for c in cells}


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
