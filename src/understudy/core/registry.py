"""Every method by name, learned from the names of files; nothing is imported until it is asked for."""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy.core.card import Card
from understudy.core.errors import nearest, refuse

if TYPE_CHECKING:
    from understudy.core.method import Method

ROOT = Path(__file__).parents[1] / "methods"
ELSEWHERE = {"compose": "understudy.compose"}  # methods that no paper is about, and where they register themselves
_LOADED: dict[str, type[Method]] = {}


@dataclass(frozen=True)
class Entry:
    """A method as its file tells it, unimported."""

    name: str
    family: str
    path: Path
    card: Card
    idea: str


@functools.cache
def files() -> dict[str, Path]:
    """Method name -> its file."""
    return {p.stem.replace("_", "-"): p for p in sorted(ROOT.glob("*/*.py")) if p.stem != "__init__"}


def add(cls: type[Method]) -> None:
    """Enter a class under its name. Raises `KeyError` where another file has the name already."""
    other = _LOADED.get(cls.name)
    if other is not None and other.__module__ != cls.__module__:
        raise KeyError(f"two methods named '{cls.name}': {other.__module__} and {cls.__module__}")
    _LOADED[cls.name] = cls


def get(name: str) -> type[Method]:
    """The method's class; 'ls-kd' and 'ls_kd' are the same. Raises `Refused` with the nearest names."""
    name = str(name).replace("_", "-")
    if name not in _LOADED:
        if name in ELSEWHERE:
            importlib.import_module(ELSEWHERE[name])
        elif name in files():
            importlib.import_module(f"understudy.methods.{files()[name].parent.name}.{files()[name].stem}")
        else:
            raise refuse("method", name, f"a registered method{nearest(name, files())}", "see `understudy list`")
    return _LOADED[name]


def build(config: Mapping[str, Any]) -> Method:
    """The method that `Method.config()` wrote: {'name': 'kd', 't': 4.0}. Unknown fields and values out of range are refused by name."""
    from understudy.core.method import unknown_fields

    given = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items() if k != "name"}
    if "name" not in config:
        raise refuse("method.name", None, "a registered method", "see `understudy list`")
    cls = get(config["name"])
    unknown_fields(cls, given)
    return cls(**given)


def load_all() -> dict[str, type[Method]]:
    """Import every method; name -> class."""
    return {name: get(name) for name in files()}


@functools.cache
def entries() -> dict[str, Entry]:
    """Every method's card and one-sentence idea, read from the source text without importing it (or torch)."""
    found = ((name, path, *header(path)) for name, path in files().items())
    return {name: Entry(name, path.parent.name, path, Card(*args, **named), idea) for name, path, args, named, idea in found}


def header(path: Path) -> tuple[list[Any], dict[str, Any], str]:
    """Of the first class with a literal `card = ...(...)` its arguments by place and by name, and its docstring's first paragraph.
    Raises `KeyError` where there is none."""
    for cls in (n for n in ast.parse(path.read_text()).body if isinstance(n, ast.ClassDef)):
        for line in cls.body:
            if isinstance(line, ast.Assign) and isinstance(line.value, ast.Call) and getattr(line.targets[0], "id", "") == "card":
                idea = (ast.get_docstring(cls) or "").strip().split("\n\n")[0].replace("\n", " ")
                with contextlib.suppress(ValueError):  # an expression
                    named = {str(k.arg): ast.literal_eval(k.value) for k in line.value.keywords}
                    return [ast.literal_eval(a) for a in line.value.args], named, idea
    raise KeyError(f"{path} has no class with a literal `card = Card(...)`")
