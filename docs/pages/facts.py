"""What can be known of a method from its card and its code, unimported."""

from __future__ import annotations

import ast
import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from pages.code import ROOT, card_class, defined, module_file, modules
from understudy import kept
from understudy.cli.show import Field, read
from understudy.core import registry
from understudy.core.card import Card

VERBS = ("players", "setup", "source", "loss", "after_step", "result")
PEOPLE = {"classify", "multilabel", "regress", "detect", "segment"}  # tasks whose labels are made by people, a row at a time


@dataclass(frozen=True)
class Method:
    """A method as its file tells it.

    verbs: those it writes itself. parts: module of `parts` -> names taken from it. unlabelled: how it learns without any label:
    '' (its code asks for none), 'a=1' (a setting leaves them out), 'teacher' (the teacher writes what is learned), None (it doesn't).
    few: its world hides most labels. rows: whether it reads the world's rows.
    """

    name: str
    family: str
    path: Path
    card: Card
    idea: str
    doc: str
    fields: tuple[Field, ...]
    verbs: tuple[str, ...]
    parts: dict[str, tuple[str, ...]]
    unlabelled: str | None
    few: bool
    rows: bool
    proofs: tuple[dict[str, Any], ...]

    @property
    def proof(self) -> dict[str, Any] | None:
        """On the world's own rows, or else on real ones that it reads."""
        return self.proofs[0] if self.proofs else None

    @property
    def stem(self) -> str:
        return self.path.stem

    @property
    def trains(self) -> bool:
        """Whether the main job takes it, on rows of one's own."""
        return not self.card.tasks

    @property
    def mark(self) -> str:
        return mark(self.proof)


def mark(proof: Mapping[str, Any] | None) -> str:
    return "" if proof is None else "✔" if proof["holds"] else "✘"


def published(folder: str, stem: str) -> dict[str, Any] | None:
    """What was measured, as it is committed."""
    path = ROOT / folder / f"{stem}.json"
    found: dict[str, Any] | None = json.loads(path.read_text()) if path.is_file() else None
    return found


def method(entry: registry.Entry) -> Method:
    cls, text = card_class(entry.path), entry.path.read_text()
    fields = tuple(read(entry.path).fields)
    taken = {str(n.module).rpartition(".")[2]: tuple(a.name for a in n.names) for n in ast.walk(ast.parse(text))
             if isinstance(n, ast.ImportFrom) and str(n.module).startswith("understudy.parts.")}  # fmt: skip
    verbs = {f.name for f in cls.body if isinstance(f, ast.FunctionDef)}
    reads = bool(re.search(r"\.rows\(|\.sweep\(", text)) or "source" not in verbs
    return Method(entry.name, entry.family, entry.path, entry.card, entry.idea, ast.get_docstring(cls) or "", fields,
                  tuple(v for v in VERBS if v in verbs), taken, _unlabelled(cls, text, entry.card, fields), _hides(entry.card.world), reads,
                  tuple(json.loads(p.read_text()) for p in kept.proofs(ROOT / "proofs", entry.name)))  # fmt: skip


def methods(only: frozenset[str] = frozenset()) -> dict[str, Method]:
    """All methods by name, or some and what they are measured by."""
    found = registry.entries()
    more = {e.card.baseline for n in only if (e := found[n]) and isinstance(e.card.baseline, str)}
    wanted = {n: e for n, e in found.items() if not only or n in only | more}
    return {e.name: method(e) for e in sorted(wanted.values(), key=lambda e: (e.family, e.card.year, e.name))}


def _unlabelled(cls: ast.ClassDef, text: str, card: Card, fields: tuple[Field, ...]) -> str | None:
    if "labels" in card.tags:
        return None
    weights = [w for n in ast.walk(cls) for w in _weight(n)]
    asks = [n for n in ast.walk(cls) if _asks(n, "hard", "both")]
    if not asks and not re.search(r"\b(batch|rows)\.y\b(?!\.masked_fill)", text):  # overwritten isn't asked for
        return ""
    if 'play(run["teacher"]' in text:
        return "teacher"
    off = {_off(w, fields) for w in weights}
    if len(weights) == len(asks) and len(off) == 1 and None not in off:
        return off.pop()
    return None


def _asks(node: ast.AST, *names: str) -> TypeGuard[ast.Call]:
    """Whether this calls the world's loss of that name."""
    return isinstance(node, ast.Call) and ast.unparse(node.func) in [f"run.world.{n}" for n in names]


def _weight(node: ast.AST) -> list[ast.expr]:
    """What the task's own loss is multiplied by at this place."""
    if _asks(node, "both"):
        return [node.args[3]]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        for one, other in ((node.left, node.right), (node.right, node.left)):
            if _asks(one, "hard"):
                return [other]
    return []


def _off(weight: ast.expr, fields: tuple[Field, ...]) -> str | None:
    """The setting that makes a weight 0: 'a=1' of 1 - self.a, 'h=0' of self.h, where the range has it."""
    said = ast.unparse(weight)
    for f in fields:
        bounds = [float(end) for end in f.range.strip("[]").split(",")] if f.range.startswith("[") else []
        for form, value in ((f"self.{f.name}", 0.0), (f"1 - self.{f.name}", 1.0)):
            if said == form and bounds and bounds[0] <= value <= bounds[1]:
                return f"{f.name}={value:g}"
    return None


@functools.cache
def _hides(world: str) -> bool:
    """Whether a world's labels are hidden for most rows, from its file."""
    homes = [m for m in modules("worlds") if world.replace("-", "_") in [n.name for n in defined(m)]]
    return any(re.search(r"worlds\._scarce|task\([^)]*\)\.hide\(", module_file(m).read_text()) for m in homes)
