"""What all report pages share: one HTML file that needs nothing else, in one style (`templates/base.html.j2`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from understudy.report.findings import Recipe
from understudy.report.words import Headline


@dataclass(frozen=True)
class Figure:
    """svg: None where there is nothing to draw; alt: what it shows, in a sentence; table: names of columns, and rows, that say the same."""

    title: str
    caption: str
    svg: str | None
    alt: str = ""
    table: tuple[Sequence[str], Sequence[Sequence[str]]] = ((), ())


@dataclass(frozen=True)
class Frame:
    """What stands on every page. tiles: a figure and what it is; about: names and values beside the command; origin: hashes."""

    title: str
    headline: Headline
    tiles: Sequence[tuple[str, str]]
    figures: Sequence[Figure]
    recipe: Recipe
    command: str
    about: Sequence[tuple[str, Any]]
    origin: Mapping[str, str]


def render_page(template: str, frame: Frame, own: Mapping[str, Any]) -> str:
    """The page as text: no scripts, nothing fetched, every word from outside escaped. own: what only this template shows."""
    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    figures = [figure for figure in frame.figures if figure.svg]
    settings = {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in frame.recipe.config.items() if k != "name"}
    shown = {"figures": figures, "paper": paper_url(frame.recipe.paper), "settings": settings}
    return pages.get_template(template).render({**own, **vars(frame), **shown})


def paper_url(paper: str) -> str | None:
    """The address of 'arXiv:...' or 'doi:...'; None of anything else, which is shown and not linked."""
    kind, _, number = paper.partition(":")
    site = {"arxiv": "https://arxiv.org/abs/", "doi": "https://doi.org/"}.get(kind.lower())
    return site + quote(number, safe="/:;.") if site and number else None


def duration(seconds: float) -> str:
    """Seconds as people read them."""
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
