"""The report of a language model: what teacher and student say, where they part, and what that cost."""

from __future__ import annotations

import itertools
import math
import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from understudy.core.files import write_atomically
from understudy.report import judged, pictures, spoken, tables, words
from understudy.report.findings import Recipe
from understudy.report.html import pulling
from understudy.report.page import Figure, Frame, duration, render_page
from understudy.report.spoken import CAST, Heard, Spoken, Word

STEPS = (0.05, 0.2, 0.5, 1.0, 2.0)  # nats at which the colour of a token changes
UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # of Unicode: controls, directions, halves of characters, separators
PROMPT, LONGEST = 600, 600  # characters of a prompt, and tokens of a row, that are shown


@dataclass(frozen=True)
class Piece:
    """Text as it is shown; mark: it stands for something that can't be seen."""

    text: str
    mark: bool = False


@dataclass(frozen=True)
class Token:
    """level: of its colour, None where it is only read; nats: in words."""

    pieces: tuple[Piece, ...]
    level: int | None
    nats: str


@dataclass(frozen=True)
class Line:
    """A row of tokens, and the one where the two are furthest apart."""

    tokens: tuple[Token, ...]
    more: int
    said: int
    mean: float
    worst: Token


@dataclass(frozen=True)
class Speech:
    """A continuation; same: its beginning, as far as it is the teacher's too."""

    who: str
    same: tuple[Piece, ...]
    rest: tuple[Piece, ...]


@dataclass(frozen=True)
class Scene:
    """A prompt's end, and who goes on how."""

    prompt: tuple[Piece, ...]
    cut: bool
    true: tuple[Piece, ...]
    speeches: tuple[Speech, ...]


def write_report(f: Spoken, path: str | os.PathLike[str]) -> Path:
    """Write the page atomically."""
    return write_atomically(path, render(f))


def render(f: Spoken) -> str:
    """The page as text."""
    heard = {who: f.heard[who] for who in CAST if who in f.heard}
    figures = [
        Figure("The frontier", "Down is better, left is smaller; a bigger dot is slower." + words.before(len(f.earlier)), pictures.spoken_frontier(f),
               f"Perplexity against size: student {spoken.perplexity(f.heard['student'].perplexity)}.", tables.spoken_frontier(f)),
        Figure("Learning", "Each term of the loss, and the perplexity of the validation rows." + words.skipped(f.history), _curves(f),
               "The terms of the loss and the validation rows' perplexity, step by step.", tables.curves(_history(f), spoken.perplexity)),
        pulling(f.history),
        Figure("Rare words and frequent ones", "What a token costs, by how often it was there to be learned from.", judged.by_frequency(f),
               "Nats a token, for tokens of growing frequency.", _frequency(f)),
        Figure("Calibration", "On the dotted line the likeliest token is right as often as the model is sure.", _calibration(heard),
               "How often each model is right against how sure it is.", tables.bins({who: heard[who].bins for who in ("teacher", "student") if who in heard})),
    ]  # fmt: skip
    own = {
        "f": f,
        "heard": heard,
        "rows": _table(heard),
        "gain": spoken.gain(f),
        "scenes": scenes(f),
        "lines": [line for row in f.words if (line := _line(row)) is not None],
        "legend": _legend(),
    }
    frame = Frame(
        f.title,
        spoken.headline(f),
        _tiles(f),
        figures,
        Recipe(f.method, f.equation, f.paper, f.config),
        f.command,
        _about(f),
        f.origin,
    )
    return render_page("spoken.html.j2", frame, own)


def visible(text: str, blanks: bool = True) -> tuple[Piece, ...]:
    """Characters that can't be seen get a mark; so do, if wished, ends of lines, tabs and runs of blanks, which stay as wide as they are."""
    pieces: list[Piece] = []
    for i, c in enumerate(text):
        if c in "\n\t":
            new = [Piece("⏎" if c == "\n" else "⇥", True)] * blanks + [Piece(c)]
        elif c == " " and blanks and " " in (text[i - 1 : i], text[i + 1 : i + 2]):
            new = [Piece("·", True)]
        elif unicodedata.category(c) in UNSEEN:
            new = [Piece(chr(0x2400 + ord(c)) if ord(c) < 0x20 else f"U+{ord(c):04X}", True)]
        else:
            new = [Piece(c)]
        for piece in new:
            if pieces and pieces[-1].mark == piece.mark:
                pieces[-1] = Piece(pieces[-1].text + piece.text, piece.mark)
            else:
                pieces.append(piece)
    return tuple(pieces)


def level(nats: float) -> int:
    """0 where the two say the same, to the number of `STEPS`; what is no number is as far apart as can be."""
    return sum(not nats < step for step in STEPS)


def scenes(f: Spoken) -> list[Scene]:
    """The samples, each continuation split where it leaves the teacher's."""
    made = []
    for s in f.samples:
        lead = next((c.text for c in s.says if c.who == "teacher"), None)
        speeches = []
        for c in sorted(s.says, key=lambda c: CAST.index(c.who) if c.who in CAST else len(CAST)):
            same = 0 if lead is None or c.who == "teacher" else _shared(lead, c.text)
            speeches.append(Speech(c.who, _calm(c.text[:same]), _calm(c.text[same:])))
        made.append(Scene(_calm(s.prompt[-PROMPT:]), len(s.prompt) > PROMPT, _calm(s.true), tuple(speeches)))
    return made


def _calm(text: str) -> tuple[Piece, ...]:
    """Text as it stands, but that many empty lines are told as their number."""
    pieces: list[Piece] = []
    for part in re.split(r"(\n{4,})", text):
        pieces += visible(part, False) if part[:4] != "\n" * 4 else (Piece(f"⏎ {len(part)}x", True), Piece("\n"))
    return tuple(pieces)


def _shared(a: str, b: str) -> int:
    """Letters that two texts begin with alike."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _line(row: tuple[Word, ...]) -> Line | None:
    """None where nothing is said."""
    tokens = tuple(_token(w) for w in row)
    said = [(w.apart, token) for w, token in zip(row, tokens, strict=True) if w.apart is not None]
    if not said:
        return None
    worst = max(said, key=lambda pair: math.inf if math.isnan(pair[0]) else pair[0])[1]
    return Line(tokens[:LONGEST], max(0, len(tokens) - LONGEST), len(said), sum(n for n, _ in said) / len(said), worst)


def _token(w: Word) -> Token:
    if w.apart is None:
        return Token(visible(w.text), None, "")
    return Token(visible(w.text), level(w.apart), f"{w.apart:.2g} nats" if w.apart < 0.1 else f"{w.apart:.2f} nats")


def _legend() -> list[tuple[int, str]]:
    between = [f"{a:g}–{b:g}" for a, b in itertools.pairwise(STEPS)]
    return list(enumerate([f"below {STEPS[0]:g}", *between, f"{STEPS[-1]:g} and more"]))


def _tiles(f: Spoken) -> list[tuple[str, str]]:
    student, teacher = f.heard["student"], f.heard.get("teacher")
    tiles = [(spoken.perplexity(student.perplexity), "perplexity")]
    if f.kept is not None:
        tiles.append((words.percent(f.kept), "of the teacher's perplexity kept"))
    if teacher and student.parameters and teacher.parameters:
        tiles.append((words.percent(student.parameters / teacher.parameters), "of its size"))
    if f.agreement is not None:
        tiles.append((words.percent(f.agreement), "agreement"))
    if f.divergence is not None:
        tiles.append((f"{f.divergence:.3f}", "KL, nats a token"))
    if teacher and student.speed > 0 and teacher.speed > 0:
        faster = student.speed / teacher.speed
        tiles.append((f"{words.times(max(faster, 1 / faster))}x", "faster" if faster >= 1 else "slower"))
    else:
        tiles.append((f"{student.speed:,.0f}", "tokens a second"))
    return tiles


def _table(heard: dict[str, Heard]) -> list[tuple[str, list[str]]]:
    """What, and of each model how much."""

    def row(name: str, values: list[str]) -> list[tuple[str, list[str]]]:
        return [(name, values)] if set(values) != {"–"} else []

    def known(value: float | None, text: str) -> str:
        return "–" if value is None else text

    all_ = list(heard.values())
    return [
        *row("perplexity", [spoken.perplexity(m.perplexity) for m in all_]),
        *row("nats a token", [known(m.nll, f"{m.nll:.3f}" if m.nll is not None else "") for m in all_]),
        *row("likeliest is right", [known(m.accuracy, words.percent(m.accuracy or 0.0)) for m in all_]),
        *row("calibration error", [known(m.calibration, words.percent(m.calibration or 0.0)) for m in all_]),
        *row("parameters", [f"{m.parameters:,}" if m.parameters else "–" for m in all_]),
        *row("size", [words.size(m.bytes) if m.bytes else "–" for m in all_]),
        *row("FLOPs a token", [words.operations(m.flops) if m.flops else "–" for m in all_]),
        *row("tokens a second", [f"{m.speed:,.0f}" if m.speed > 0 else "–" for m in all_]),
    ]


def _history(f: Spoken) -> list[dict[str, float]]:
    """The validation rows give a log-likelihood, which is shown as a perplexity."""
    return [{k: math.exp(min(-v, 700.0)) if k == "valid" else v for k, v in point.items()} for point in f.history]


def _curves(f: Spoken) -> str | None:
    return pictures.learning(_history(f), spoken.perplexity, "perplexity, validation")


def _frequency(f: Spoken) -> tuple[list[str], list[list[str]]]:
    whose = [who for who in CAST if any(who in row for row in f.frequency)]
    rows = [
        [f"{row['from']:,}", f"{row['tokens']:,}", *(f"{row[who]:.3f}" if who in row else "–" for who in whose)]
        for row in f.frequency
    ]
    return ["at least so often", "test tokens", *whose], rows


def _calibration(heard: dict[str, Heard]) -> str | None:
    shown = ((who, heard[who]) for who in ("teacher", "student") if who in heard)
    return judged.reliabilities([(who, m.bins, m.calibration) for who, m in shown if m.calibration is not None])


def _about(f: Spoken) -> list[tuple[str, str]]:
    about = [("data", f.data), ("signal", f.signal), ("kind of student", f.kind)]
    about += [(f"{split} rows", f"{n:,}") for split, n in f.rows.items()]
    about += [(f"{split} tokens said", f"{n:,}") for split, n in f.tokens.items()]
    about += [("documents cut", f"{f.cut:,}")]
    about += [(k, str(v)) for k, v in f.settings.items() if k != "signal"]
    return [*about, ("trained for", duration(f.seconds)), *f.environment.items()]
