"""Claims of papers that propose no algorithm, each an experiment with a checkable outcome; one claim a file.

A study is found by its file's name and read without being imported, like a method. It says what it tries (`grid`), how one cell
of that is trained and measured (`measure`), and, as a pure function of all that was measured, whether the claim is what came
out (`outcome`). `understudy.study` runs it; a study owns no loop over steps.
"""

from __future__ import annotations

import functools
import importlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from understudy.core import registry
from understudy.core.errors import nearest, refuse

ROOT = Path(__file__).parent


@dataclass(frozen=True)
class Claim:
    """What is published, as data. claim: one sentence that can come out false; worlds: where it is tried; seeds: how many
    pairs."""

    title: str
    paper: str
    year: int
    claim: str
    slug: str
    worlds: tuple[str, ...]
    seeds: int = 5


@dataclass(frozen=True)
class Cell:
    """One cell of the grid under one seed: its settings, and what was measured there."""

    at: Mapping[str, Any]
    seed: int
    got: Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """One part of a claim: what was measured, its mean with the 95 % interval over seeds, and whether that is what the part says.

    effect: {"mean", "low", "high"}. A claim holds where all its parts do.
    """

    what: str
    effect: Mapping[str, float]
    holds: bool

    @property
    def told(self) -> str:
        half = (self.effect["high"] - self.effect["low"]) / 2
        return f"{self.what}: {self.effect['mean']:+.3g} ± {half:.2g}"


class Study:
    """grid: setting -> its values; the cells are all their combinations. little: the same for checks, of seconds.

    data: the path of real data for a study that `reads` some; "" for the rows that its world makes."""

    reads: ClassVar[bool] = False
    data: str = ""
    card: ClassVar[Claim]
    grid: ClassVar[Mapping[str, Sequence[Any]]]
    little: ClassVar[Mapping[str, Sequence[Any]]]

    @property
    def name(self) -> str:
        """Its file's."""
        return type(self).__module__.rsplit(".", 1)[-1].replace("_", "-")

    def cells(self, small: bool = False) -> list[dict[str, Any]]:
        """Every combination of the grid's values, in order."""
        grid = self.little if small else self.grid
        return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]

    def measure(self, at: Mapping[str, Any], seed: int, small: bool = False) -> dict[str, Any]:
        """Train a cell and measure it: plain data, the same for the same arguments. What cells of a seed share is cached by the
        study."""
        raise NotImplementedError

    def outcome(self, cells: Sequence[Cell]) -> list[Finding]:
        """The parts of the claim, from what was measured and nothing else. The rule was written before the cells were seen."""
        raise NotImplementedError


def over(cells: Sequence[Cell], name: str, seed: int, where: Mapping[str, Any]) -> list[Any]:
    """What was measured under a name in the cells of a seed that have these settings, in the order of the grid."""
    return [c.got[name] for c in cells if c.seed == seed and all(c.at[k] == v for k, v in where.items())]


def seeds(cells: Sequence[Cell]) -> list[int]:
    """Those that were tried."""
    return sorted({c.seed for c in cells})


# ------------------------------------------------------------------------------------------------------------------ found by name


@dataclass(frozen=True)
class Entry:
    """A study as its file tells it, unimported."""

    name: str
    path: Path
    card: Claim
    idea: str


@functools.cache
def files() -> dict[str, Path]:
    """Study name -> its file."""
    return {p.stem.replace("_", "-"): p for p in sorted(ROOT.glob("[!_]*.py"))}


@functools.cache
def entries() -> dict[str, Entry]:
    """Every study's card and idea, read from the source text without importing it (or torch)."""

    def read(name: str, path: Path) -> Entry:
        values, named, idea = registry.header(path)
        return Entry(name, path, Claim(*values, **named), idea)

    return {name: read(name, path) for name, path in files().items()}


def get(name: str) -> Study:
    """The study of that name. Raises `Refused` with the nearest names."""
    name = name.replace("_", "-")
    if name not in files():
        raise refuse("study", name, f"one of {', '.join(files())}{nearest(name, files())}", "see `understudy list --studies`")
    module = importlib.import_module(f"understudy.studies.{files()[name].stem}")
    (found,) = [
        v for v in vars(module).values() if isinstance(v, type) and issubclass(v, Study) and v.__module__ == module.__name__
    ]
    made: Study = found()
    return made
