"""understudy show"""

from __future__ import annotations

import ast
import inspect
import operator
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from typer import Argument, Option

from understudy import studies
from understudy.cli.shared import Answer, complete_methods, entry
from understudy.core.card import TAGS
from understudy.kept import proofs as kept_proofs
from understudy.kept import table, understood

SUMS: dict[type[ast.operator], Any] = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv, ast.Pow: operator.pow}  # fmt: skip
OWN = "the world's own"  # data of a proof
EXAMPLES = ("understudy show dkd", "understudy show teacher-hacking")


def _complete(incomplete: str) -> list[str]:
    return [*complete_methods(incomplete), *(n for n in studies.files() if n.startswith(incomplete))]


def show(
    name: Annotated[str, Argument(help="A method's or a study's name.", autocompletion=_complete)],
    proofs: Annotated[Path, Option(help="Where proofs are kept.")] = Path("proofs"),
) -> Answer:
    """What a method is: idea, equation, fields with their ranges, how its proof came out. Of a study: claim, protocol and outcome."""
    if name.replace("_", "-") in studies.files():
        return _study(studies.entries()[name.replace("_", "-")], proofs / "studies")
    found = entry(name)
    told, card, proved = read(found.path), found.card, [_proof(path) for path in kept_proofs(proofs, found.name)]
    data = {"name": found.name, "family": found.family, "title": card.title, "paper": card.paper, "year": card.year, "idea": found.idea,
            "equation": told.equation, "notes": told.notes, "fields": [vars(f) for f in told.fields], "baseline": card.baseline,
            "world": card.world, "tags": sorted(card.tags), "file": str(found.path), "proofs": proved}  # fmt: skip
    parts: list[RenderableType] = [
        Text.assemble((found.name, "bold cyan"), ("  " + found.family, "dim")),
        _published(card.title, card.year, card.paper),
        Text("\n" + found.idea),
        Padding(Text(told.equation, "cyan"), (1, 0, 1, 4)),
    ]
    for note in told.notes:
        parts.append(Padding(Text(note), (0, 0, 1, 0)))
    if told.fields:
        parts += [_fields(told.fields), Text()]
    facts = Table.grid(padding=(0, 3, 0, 0))
    facts.add_column(style="dim")
    against = card.baseline if isinstance(card.baseline, str) else ", ".join(f"{k}={v}" for k, v in (card.baseline or {}).items())
    tags = Text("\n").join(Text.assemble(f"{t:<12}", (TAGS[t], "dim")) for t in sorted(card.tags))
    for key, value in (("tags", tags), ("proved on", card.world if against else ""), ("against", against)):
        if value:
            facts.add_row(key, value)
    if not against:
        facts.add_row("proof", Text("nothing to prove: it is what others are measured by", "dim"))
    for proof in proved or [None] if against else []:
        facts.add_row("proof", _verdict(proof, found.name))
    facts.add_row("file", Text(str(found.path), "dim", overflow="fold"))
    return Answer(data, Group(*parts, facts))


def _published(title: str, year: int, paper: str) -> Text:
    url = {"arXiv": "https://arxiv.org/abs/", "doi": "https://doi.org/"}.get(paper.partition(":")[0], "")
    link = f"link {url}{paper.partition(':')[2]}" if url and paper != "doi:none" else ""
    return Text.assemble((title, "bold"), (f"  {year}  ", "dim"), (paper, f"dim underline {link}".strip()))


def _study(found: studies.Entry, folder: Path) -> Answer:
    """Claim, protocol, and what came out."""
    card, path = found.card, folder / f"{found.path.stem}.json"
    came = _outcome(path)
    came = came and {k: came.get(k) for k in ("holds", "verdict", "findings", "seeds", "command")}
    data = {"name": found.name, "study": True, "title": card.title, "paper": card.paper, "year": card.year, "claim": card.claim,
            "worlds": list(card.worlds), "file": str(found.path), "outcome": came}  # fmt: skip
    parts: list[RenderableType] = [
        Text.assemble((found.name, "bold cyan"), ("  study", "dim")),
        _published(card.title, card.year, card.paper),
        Padding(Text(card.claim, "cyan"), (1, 0, 1, 4)),
        *(Padding(Text(p), (0, 0, 1, 0)) for p in protocol(found.path)),
    ]
    facts = Table.grid(padding=(0, 3, 0, 0))
    facts.add_column(style="dim")
    facts.add_row("tried in", ", ".join(card.worlds))
    told = Text(f"none here yet: understudy study {found.name}", "dim") if came is None else _verdict(came, found.name)
    facts.add_row("outcome", told)
    facts.add_row("file", Text(str(found.path), "dim", overflow="fold"))
    return Answer(data, Group(*parts, facts))


def protocol(path: Path) -> list[str]:
    """The paragraphs of a study's docstring."""
    cls = next(
        n for n in ast.parse(path.read_text()).body if isinstance(n, ast.ClassDef) and any(_is_card(line) for line in n.body)
    )
    return [" ".join(p.split()) for p in (ast.get_docstring(cls) or "").split("\n\n")]


def _fields(fields: list[Field]) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    for title, style in (("field", "bold"), ("default", "cyan"), ("range", "dim"), ("", "")):
        table.add_column(title, style=style, overflow="fold")
    for f in fields:
        table.add_row(f.name, f"{f.default:g}" if isinstance(f.default, float) else str(f.default), f.range, f.about)
    return table


def _outcome(path: Path) -> dict[str, Any] | None:
    """Of a proof or a study, if there is one. Raises `Refused` where it can't be read."""
    if not path.is_file():
        return None
    with understood(path, "how a proof or a study came out", "prove it again"):
        found = table(path)
        if not (isinstance(found["holds"], bool) and isinstance(found["verdict"], str) and isinstance(found["seeds"], list)):
            raise TypeError("holds, verdict or seeds of another kind")
    return found


def _proof(path: Path) -> dict[str, Any]:
    found = _outcome(path) or {}
    return {k: found.get(k) for k in ("holds", "verdict", "effect", "over_placebo", "seeds", "data", "command")}


def _verdict(proof: dict[str, Any] | None, name: str) -> Text:
    if proof is None:
        return Text(f"none here yet: understudy prove {name}", "dim")
    mark = ("✔ ", "bold green") if proof["holds"] else ("✘ ", "bold red")
    data = proof.get("data") or OWN
    return Text.assemble(
        mark, str(proof["verdict"]), (f"  {len(proof['seeds'])} seeds" + (f", {data}" if data != OWN else ""), "dim")
    )


# a method as its file tells it, unimported ------------------------------------------------------------------------------------------


@dataclass
class Field:
    """A hyper-parameter: its default, what it may be, and the comment behind it."""

    name: str
    type: str
    default: Any
    range: str
    about: str


@dataclass
class Told:
    """equation: the docstring's indented lines; notes: its other paragraphs after the first (shapes, departures)."""

    equation: str
    notes: list[str]
    fields: list[Field]


def read(path: Path) -> Told:
    """Equation, notes and fields of a method's file."""
    cls = next(
        n for n in ast.parse(path.read_text()).body if isinstance(n, ast.ClassDef) and any(_is_card(line) for line in n.body)
    )
    lines = inspect.cleandoc(ast.get_docstring(cls, clean=False) or "").splitlines()
    equation = [line[4:] for line in lines if line.startswith(" " * 4)]
    rest = "\n".join("" if line.startswith(" " * 4) else line for line in lines)
    notes = [" ".join(p.split()) for p in rest.split("\n\n")[1:] if p.strip()]
    with tokenize.open(path) as f:
        comments = {t.start[0]: t.string.lstrip("# ") for t in tokenize.generate_tokens(f.readline) if t.type == tokenize.COMMENT}
    fields = [
        _field(line, comments.get(line.end_lineno or 0, ""))
        for line in cls.body
        if isinstance(line, ast.AnnAssign) and line.value
    ]
    return Told(
        "\n".join(equation), [n for note in notes for n in note.replace(" Departures:", "\nDepartures:").split("\n")], fields
    )


def _is_card(line: ast.stmt) -> bool:
    return isinstance(line, ast.Assign) and getattr(line.targets[0], "id", "") == "card"


def _field(line: ast.AnnAssign, about: str) -> Field:
    value, args = line.value, []
    kind = getattr(value.func, "id", "") if isinstance(value, ast.Call) else ""
    if isinstance(value, ast.Call) and kind in ("span", "choice", "at"):
        args = [_literal(a) for a in value.args]
    default = args[0] if args else _literal(value) if value else None
    allowed = {"span": lambda: f"[{args[1]:g}, {args[2]:g}]", "choice": lambda: ", ".join(map(str, args)),
               "at": lambda: "where to read " + (" and ".join(args[1:]) or "student and teacher")}  # fmt: skip
    return Field(
        getattr(line.target, "id", ""),
        ast.unparse(line.annotation),
        default,
        allowed[kind]() if args else ast.unparse(line.annotation),
        about,
    )


def _literal(node: ast.expr) -> Any:
    """A constant or sums of them (1 / 12); anything else as its text."""
    try:
        if isinstance(node, ast.BinOp) and type(node.op) in SUMS:
            a, b = (ast.literal_eval(n) for n in (node.left, node.right))
            return SUMS[type(node.op)](a, b)
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)
