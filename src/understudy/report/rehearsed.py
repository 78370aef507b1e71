"""The page of a method on a world of its own kind: what it scored, how it learned, and pictures of what it made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from understudy.core.files import write_atomically
from understudy.core.run import artefact
from understudy.publish import equation
from understudy.report import origin, pictures, stages, tables, words
from understudy.report.findings import Recipe
from understudy.report.page import Figure, Frame, duration, render_page
from understudy.report.words import Headline

if TYPE_CHECKING:
    from understudy.rehearsal import Rehearsal


def write_report(done: Mapping[str, Rehearsal], path: str | os.PathLike[str], command: str = "") -> Path:
    """Write the page atomically. done: the rehearsal by its label, and behind it those that it is compared with, on the same world."""
    return write_atomically(path, render(done, command))


def render(done: Mapping[str, Rehearsal], command: str = "") -> str:
    """The page as text: no scripts, nothing fetched, every word from outside escaped."""
    first = next(iter(done.values()))
    method, world = first.run.method, first.run.world
    figures = [
        Figure("Learning", "Each term of the loss, step by step.", pictures.learning(first.history, str),
               "The terms of the loss, step by step.", tables.curves(first.history, str)),
        Figure("On the way", f"What the world saw before each step that it looked at: {world.metric}.", _observed(first),
               f"{world.metric} along the way.", _told(first)),
    ]  # fmt: skip
    made = artefact(first.run)
    hashes = origin.origin("", student=made) if isinstance(made, nn.Module) else origin.origin("")
    about = [("world", first.world), ("task", world.task), ("seed", first.run.seed), ("updates", f"{first.run.step:,}"),
             ("trained for", duration(first.seconds)), *origin.environment().items()]  # fmt: skip
    frame = Frame(f"{method.name} in the world '{first.world}'", headline(done), _tiles(done), figures,
                  Recipe(method.name, equation(method), method.card.paper, method.config()), command, about,
                  {("what came of it" if k == "student weights" else k): v for k, v in hashes.items() if v})  # fmt: skip
    rows = [(label, score(r, r.score), f"{r.run.step:,}", duration(r.seconds)) for label, r in done.items()]
    own = {"rows": rows, "metric": world.metric, "album": stages.album(first.run), "idea": idea(method)}
    return render_page("rehearsal.html.j2", frame, own)


def headline(done: Mapping[str, Rehearsal]) -> Headline:
    """The score, beside the baseline's where there is one."""
    (label, first), *others = done.items()
    facts = (f"{first.run.step:,} updates", duration(first.seconds), f"world '{first.world}'", "one seed")
    told = f"{first.run.world.metric} {score(first, first.score)} by {label}"
    if not others:
        return Headline(True, told, facts)
    name, other = others[0]
    apart = first.score - other.score
    where = "above" if apart > 0 else "below" if apart < 0 else "from"
    return Headline(apart > 0, f"{told}, {points(first, abs(apart))} {where} {name}", facts)


def score(r: Rehearsal, value: float) -> str:
    """In the world's own unit."""
    return words.percent(value) if r.run.world.share else f"{value:.4g}"


def points(r: Rehearsal, difference: float) -> str:
    return f"{100 * difference:.1f} points" if r.run.world.share else f"{difference:.4g}"


def idea(method: object) -> str:
    """The first paragraph of a method's docstring."""
    return " ".join((type(method).__doc__ or "").strip().partition("\n\n")[0].split())


def _tiles(done: Mapping[str, Rehearsal]) -> list[tuple[str, str]]:
    (_, first), *others = done.items()
    tiles = [
        (score(first, first.score), first.run.world.metric),
        (f"{first.run.step:,}", "updates"),
        (duration(first.seconds), "to train"),
    ]
    if others:
        apart = first.score - others[0][1].score
        tiles.append((f"{'+' if apart >= 0 else '−'}{points(first, abs(apart))}", f"over {others[0][0]}"))
    return tiles


def _observed(r: Rehearsal) -> str | None:
    seen = [{"step": float(k), "valid": v} for k, v in sorted(r.run.observed.items())]
    return pictures.learning(seen, lambda v: score(r, v), r.run.world.metric) if len(seen) > 1 else None


def _told(r: Rehearsal) -> tables.Table:
    rows = [(f"{k:,}", score(r, v)) for k, v in sorted(r.run.observed.items())]
    return ("step", r.run.world.metric), tables.some(rows)
