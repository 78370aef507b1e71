"""A run's findings in a few lines of terminal."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, ConsoleOptions, Group, JustifyMethod, RenderableType, RenderResult
from rich.measure import Measurement
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from understudy.report import words
from understudy.report.findings import Findings
from understudy.report.words import Headline

SHORTER = ((" a row", ""), ("tokens/s", "tok/s"), ("perplexity", "ppl"))
FILES = ("report.html", "student.onnx", "student.safetensors", "README.md")


@dataclass(frozen=True)
class Line:
    """One model of the summary; parameters and bytes of 0 aren't shown."""

    role: str
    score: str
    parameters: int = 0
    bytes: int = 0
    speed: str = ""


def summary(f: Findings, folder: Path | None = None) -> RenderableType:
    """Teacher, student and the student alone in a line each, the headline, and the files of the run's folder that are there."""
    lines = [Line(role, words.score(f, m.score), m.parameters, m.bytes, f"{words.milliseconds(m.latency_ms)} a row")
             for role, m in (("teacher", f.teacher), ("student", f.student))]  # fmt: skip
    if f.alone:  # the same student, trained as long on the labels only
        lines.append(Line("alone", words.score(f, f.alone.score)))
    return Summary(lines, words.headline(f), _files(f, folder) if folder else None, f.title)


@dataclass(frozen=True)
class Summary:
    """In a box on a terminal, shorter where that is narrow; plain lines elsewhere."""

    lines: Sequence[Line]
    headline: Headline
    files: Text | None
    title: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        line = Text("✔ ", "bold green") if self.headline.good else Text("✘ ", "bold red")
        line.append(" · ".join((self.headline.text, *self.headline.rest)), "default not bold")
        room = options.max_width - 4 * options.is_terminal  # what a box takes
        table = self._table(short=False)
        if Measurement.get(console, options.update(width=1000), table).maximum > room:
            table = self._table(short=True)
        inside = Group(table, line, *([self.files] if self.files else []))
        title = Text(self.title, "bold", overflow="ellipsis")
        yield Panel.fit(inside, title=title, title_align="left", border_style="dim") if options.is_terminal else inside

    def _table(self, short: bool) -> Table:
        table = Table.grid(padding=(0, 2 if short else 3, 0, 0))
        sides: tuple[JustifyMethod, ...] = ("left", "right", "right", "right", "right")
        for side in sides:
            table.add_column(justify=side, no_wrap=True)
        for m in self.lines:
            style = "dim" if m.role == "alone" else "bold"
            count = f"{_thousands(m.parameters)} par." if short else f"{m.parameters:,} parameters"
            score, speed = (_shorter(m.score), _shorter(m.speed)) if short else (m.score, m.speed)
            costs = count if m.parameters else "", words.size(m.bytes) if m.bytes else ""
            table.add_row(Text(m.role, style), Text(score, f"{style} cyan"), *costs, speed)
        return table


def _shorter(said: str) -> str:
    return functools.reduce(lambda text, pair: text.replace(*pair), SHORTER, said)


def _thousands(count: int) -> str:
    """`412k`, `1.2M`"""
    unit, worth = next(((u, w) for u, w in (("G", 1e9), ("M", 1e6), ("k", 1e3)) if count >= w), ("", 1.0))
    return f"{count / worth:.3g}{unit}"


def _files(f: Findings, folder: Path) -> Text:
    checked = {"student.onnx": f" (checked: max difference {f.onnx_difference:.0e})" if f.onnx_difference is not None else "",
               "README.md": " (model card)"}  # fmt: skip
    there = [name + checked.get(name, "") for name in FILES if (folder / name).exists()]
    return Text(f"{folder}/" + "  ".join(there), "dim", overflow="fold")
