"""Small real problems by name; `WORLDS[name](seed, ready=True)` has a trained teacher. The default ones need no download.

A world is a public function of a seed in a file of this folder, `digits_parity(seed, *, ready, small, ...)` is 'digits-parity':
ready trains what its papers start from (once a process and seed), small is the same world with little of everything, for checks.
Names are learned from the text of the files; a world's libraries are imported when it is built.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from understudy.core.world import World


def _build(module: str, name: str, *args: Any, **kwargs: Any) -> World:
    world: World = getattr(importlib.import_module(module), name)(*args, **kwargs)
    return world


def function(name: str) -> Callable[..., World]:
    """The function behind a world's name, its file imported."""
    module, of = WORLDS[name].args
    found: Callable[..., World] = getattr(importlib.import_module(module), of)
    return found


def _functions(path: Path) -> list[str]:
    return [f.name for f in ast.parse(path.read_text()).body if isinstance(f, ast.FunctionDef) and not f.name.startswith("_")
            and f.args.args and f.args.args[0].arg == "seed"]  # fmt: skip


WORLDS: dict[str, partial[Any]] = {
    name.replace("_", "-"): partial(_build, f"understudy.worlds.{path.stem}", name)
    for path in sorted(Path(__file__).parent.glob("[!_]*.py"))
    for name in _functions(path)
}
