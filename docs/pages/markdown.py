"""Markdown, and the folder that pages are written to."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from pages.equations import Unsure, rendered

URL = {"arXiv": "https://arxiv.org/abs/", "doi": "https://doi.org/"}


@dataclass
class Folder:
    """Where pages are written: a page that says what it said is left alone, one that isn't written any more goes."""

    root: Path
    written: set[Path] = field(default_factory=set)

    def write(self, name: str, text: str | bytes) -> None:
        path = self.root / name
        if path in self.written:
            raise ValueError(f"two pages are called {name}")
        self.written.add(path)
        data = text if isinstance(text, bytes) else (text.rstrip() + "\n").encode()
        if not path.is_file() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def prune(self) -> None:
        for path in sorted(self.root.rglob("*")):
            if path.is_file() and path not in self.written:
                path.unlink()

    def titles(self) -> list[str]:
        """The pages and what they are called: what the navigation is made of."""
        return [f"{p.relative_to(self.root)} {p.read_text().splitlines()[0]}" for p in sorted(self.written) if p.suffix == ".md"]


def plain(text: str) -> str:
    """Prose as it is: what Markdown would take for markup is escaped, but for `code`."""
    pieces = re.split(r"(`[^`]+`)", text)
    return "".join(p if i % 2 else re.sub(r"([\\*_<>\[\]|$#{}~])", r"\\\1", p) for i, p in enumerate(pieces))


def block(text: str, language: str = "text") -> str:
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall(r"`{3,}", text))])
    return f"{fence}{language}\n{text}\n{fence}"


def raw(html: str) -> str:
    return block(html, "{raw} html")


def fold(summary: str, *inside: str) -> str:
    """Markdown behind a line that opens it."""
    return "\n\n".join([raw(f"<details><summary>{escape(summary)}</summary>"), *inside, raw("</details>")])


def equation(text: str) -> str:
    """Rendered, or as it stands where it isn't surely read."""
    try:
        return raw(rendered(text))
    except Unsure:
        return block(text)


def prose(doc: str, equations: bool = False) -> str:
    """A docstring: paragraphs, and indented ones as they stand or as equations. A wrapped line goes on where it was broken."""
    parts: list[tuple[bool, list[str]]] = []
    for line in doc.splitlines():
        indented = line.startswith("    ") or (not line.strip() and bool(parts) and parts[-1][0])
        if not parts or parts[-1][0] != indented or (not indented and not line.strip()):
            parts.append((indented, []))
        parts[-1][1].append(line)
    made = []
    for indented, lines in parts:
        text = "\n".join(lines).rstrip() if indented else " ".join(line.strip() for line in lines).strip()
        if not text.strip():
            continue
        if indented:
            made.append((equation if equations else block)(re.sub(r"^    ", "", text, flags=re.M)))
        else:
            made.append(re.sub(r"(?:^| )(Shapes:|Departures:)", r"\n\n**\1**", plain(text)).strip())
    return "\n\n".join(made)


def table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(r) + " |" for r in [head, ["---"] * len(head), *rows])


def cell(text: str) -> str:
    return plain(text).replace("\n", " ")


def code(value: Any) -> str:
    """A value in a cell of a table."""
    return f"`{value}`".replace("|", "\\|")


def paper(where: str) -> str:
    """`arXiv:1503.02531` or `doi:...` as a link; 'doi:none' has none."""
    kind, _, number = where.partition(":")
    return f"[{where}]({URL[kind]}{number})" if kind in URL and number != "none" else where


def toc(*names: str, caption: str = "", hidden: bool = False, depth: int = 1) -> str:
    options = [f":maxdepth: {depth}", *([f":caption: {caption}"] if caption else []), *([":hidden:"] if hidden else [])]
    return "\n".join(["```{toctree}", *options, "", *names, "```"])
