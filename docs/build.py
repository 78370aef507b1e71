"""Pages made from the code (docs/_generated), then the site (site/). Warnings are errors, and so is a public name without a docstring.

The code is read, not imported, but for the command line's help.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
SOURCE = ROOT / "src" / "understudy"
MADE = DOCS / "_generated"
SITE = ROOT / "site"
PICTURES = DOCS / "pictures" / "scenes"  # one a method, made by `docs/pictures.py scenes`
PACKAGES = ("core", "parts")  # every public name counts here, elsewhere those in `__all__`

# ------------------------------------------------------------------------------------------------------------ reading the code

Definition = ast.FunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Name:
    """A public name where it is defined; node is None for a module."""

    name: str
    module: str
    node: Definition | None
    doc: str


def module_file(module: str) -> Path:
    """`understudy.core.run` -> its file."""
    path = SOURCE.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def tree(module: str) -> ast.Module:
    return ast.parse(module_file(module).read_text())


def exported(module: str) -> list[str]:
    """`__all__` as the file has it."""
    for line in tree(module).body:
        if isinstance(line, ast.Assign) and getattr(line.targets[0], "id", "") == "__all__":
            return list(ast.literal_eval(line.value))
    return []


def lazily(module: str) -> dict[str, str]:
    """Names that a module imports when they are asked for (`_NAMES`), and where from."""
    for line in tree(module).body:
        if isinstance(line, ast.Assign) and getattr(line.targets[0], "id", "") == "_NAMES":
            return {k: f"{module}.{v}" for k, v in ast.literal_eval(line.value).items()}
    return {}


def find(name: str, module: str) -> Name:
    """Follow a name to where it is defined. Raises `LookupError` where it isn't."""
    home = lazily(module).get(name)
    if home:
        return find(name, home)
    for line in tree(module).body:
        if isinstance(line, Definition) and line.name == name:
            return Name(name, module, line, ast.get_docstring(line) or "")
        if (
            isinstance(line, ast.ImportFrom)
            and line.module
            and not line.level
            and any((a.asname or a.name) == name for a in line.names)
        ):
            original = next(a.name for a in line.names if (a.asname or a.name) == name)
            return find(original, line.module)
    if module_file(f"{module}.{name}").exists():
        return Name(name, f"{module}.{name}", None, ast.get_docstring(tree(f"{module}.{name}")) or "")
    for line in tree(module).body:
        targets = [line.target] if isinstance(line, ast.AnnAssign) else line.targets if isinstance(line, ast.Assign) else []
        if any(getattr(t, "id", "") == name for t in targets):
            return Name(name, module, None, "a value")
    raise LookupError(f"{module} exports '{name}', which isn't defined there")


def defined(module: str) -> list[Name]:
    """Public functions and classes that a module defines itself."""
    return [
        Name(n.name, module, n, ast.get_docstring(n) or "")
        for n in tree(module).body
        if isinstance(n, Definition) and not n.name.startswith("_")
    ]


def modules(package: str) -> list[str]:
    return [f"understudy.{package}.{p.stem}" for p in sorted((SOURCE / package).glob("*.py")) if p.stem != "__init__"]


def packages() -> list[str]:
    """Sub-packages that `understudy` hands out by name."""
    return [n for n in exported("understudy") if (SOURCE / n).is_dir()]


def public() -> Iterator[Name]:
    """All names that a user may rely on."""
    for name in exported("understudy"):
        yield find(name, "understudy")
    for package in packages():
        for name in exported(f"understudy.{package}"):
            yield find(name, f"understudy.{package}")
    for package in PACKAGES:
        for module in modules(package):
            yield Name(module, module, None, ast.get_docstring(tree(module)) or "")
            yield from defined(module)


def undocumented() -> list[str]:
    """Public names without a docstring."""
    return sorted({f"{n.module}.{n.name}" if n.node else n.module for n in public() if not n.doc.strip()})


# -------------------------------------------------------------------------------------------------------------- writing markdown


def plain(text: str) -> str:
    """Prose as it is: what Markdown would take for markup is escaped, but for `code`."""
    pieces = re.split(r"(`[^`]+`)", text)
    return "".join(p if i % 2 else re.sub(r"([\\*_<>\[\]|$#{}~])", r"\\\1", p) for i, p in enumerate(pieces))


def block(text: str, language: str = "text") -> str:
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall(r"`{3,}", text))])
    return f"{fence}{language}\n{text}\n{fence}"


def prose(doc: str) -> str:
    """A docstring: paragraphs, and indented ones as they stand. A wrapped line goes on where it was broken."""
    parts: list[tuple[bool, list[str]]] = []
    for line in doc.splitlines():
        code = line.startswith("    ") or (not line.strip() and bool(parts) and parts[-1][0])
        if not parts or parts[-1][0] != code or (not code and not line.strip()):
            parts.append((code, []))
        parts[-1][1].append(line)
    made = []
    for code, lines in parts:
        text = "\n".join(lines).rstrip() if code else " ".join(line.strip() for line in lines).strip()
        if text.strip():
            made.append(
                block(re.sub(r"^    ", "", text, flags=re.M))
                if code
                else re.sub(r" (Departures:)", r"\n\n**\1**", f" {plain(text)}").strip()
            )
    return "\n\n".join(made)


def table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(r) + " |" for r in [head, ["---"] * len(head), *rows])


def cell(text: str) -> str:
    return plain(text).replace("\n", " ")


def code(value: Any) -> str:
    """A value in a cell of a table."""
    return f"`{value}`".replace("|", "\\|")


def paper(where: str) -> str:
    """`arXiv:1503.02531` or `doi:...` as a link."""
    kind, _, number = where.partition(":")
    at = {"arXiv": "https://arxiv.org/abs/", "doi": "https://doi.org/"}.get(kind)
    return f"[{where}]({at}{number})" if at else where


def write(name: str, text: str) -> None:
    path = MADE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.rstrip() + "\n")


def toc(*names: str, caption: str = "", hidden: bool = False, depth: int = 1) -> str:
    options = [f":maxdepth: {depth}", *([f":caption: {caption}"] if caption else []), *([":hidden:"] if hidden else [])]
    return "\n".join(["```{toctree}", *options, "", *names, "```"])


# ------------------------------------------------------------------------------------------------------------------------ methods


def proof(name: str) -> dict[str, Any] | None:
    path = ROOT / "proofs" / f"{name.replace('-', '_')}.json"
    found: dict[str, Any] | None = json.loads(path.read_text()) if path.is_file() else None
    return found


def mark(found: Mapping[str, Any] | None) -> str:
    return "" if found is None else "✔" if found["holds"] else "✘"


def proved(found: Mapping[str, Any] | None, name: str) -> str:
    """The verdict and the figures behind it."""
    if found is None:
        return f"None is committed yet. `understudy prove {name}` makes it."
    rows, unit = [], 100 if found.get("share", True) else 1
    for side, scores in found["scores"].items():
        picked = found["chosen"][side]
        settings = {k: v for k, v in picked["config"].items() if k != "name"} | (
            {"learning rate x": picked["rate"]} if picked["rate"] != 1 else {}
        )
        who = {"method": name, "baseline": f"baseline: {picked['config']['name']}", "placebo": f"{name}, answers shuffled"}[side]
        spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
        rows.append(
            [
                cell(who),
                f"{unit * statistics.mean(scores):.2f}" if unit == 100 else f"{statistics.mean(scores):.4g}",
                f"{unit * spread:.2f}" if unit == 100 else f"{spread:.2g}",
                " ".join(code(f"{k}={v}") for k, v in settings.items()) or "none",
            ]
        )
    about = (f"{len(found['seeds'])} seeds, paired; {found['updates']:,} updates each; {found['metric']} of the world `{found['world']}`; "
             f"{found['seconds']:,.0f} s; " + ", ".join(f"{k} {v}" for k, v in found["versions"].items()))  # fmt: skip
    return "\n\n".join([f"{mark(found)} **{cell(found['verdict'])}**", table(["side", "mean x 100" if unit == 100 else "mean", "spread", "chosen on the validation split"], rows), about + ".",
                        f"Again: `{found['command']}`"])  # fmt: skip


def usage(entry: Any) -> list[str]:
    """How a user runs it: on rows of their own, or, where it asks for a kind of world, there."""
    use = entry.name.replace("-", "_")
    if not entry.card.tasks or {"classify", "multilabel", "regress"} & set(entry.card.tasks):
        return [block(f"understudy distill --teacher digits --student tiny-cnn --data digits --method {entry.name}", "sh"),
                block(f"from understudy import distill, methods\n\nrun = distill(method=methods.{use}())", "python")]  # fmt: skip
    lines = (
        f"from understudy import methods, rehearse\n\ndone = rehearse(methods.{use}())\nprint(done.run.world.metric, done.score)"
    )
    return [block(f"understudy rehearse {entry.name} --against", "sh"), block(lines, "python")]


def verbs_page() -> None:
    """Which verbs each method writes itself, which parts it takes, and in which world it lives: read from the code."""
    from understudy.core import registry

    verbs = ("players", "setup", "source", "loss", "after_step", "result")
    rows, uses = [], dict[str, int]()
    for e in sorted(registry.entries().values(), key=lambda e: (e.family, e.name)):
        read = ast.parse(e.path.read_text())
        own = {f.name for n in read.body if isinstance(n, ast.ClassDef) for f in n.body if isinstance(f, ast.FunctionDef)}
        taken = sorted({str(n.module).rpartition(".")[2] for n in ast.walk(read) if isinstance(n, ast.ImportFrom)
                        and str(n.module).startswith("understudy.parts.")})  # fmt: skip
        for part in taken:
            uses[part] = uses.get(part, 0) + 1
        rows.append([f"[{e.name}]({e.name}.md)", e.card.world, " ".join(v for v in verbs if v in own),
                     " ".join(taken), str(len(e.path.read_text().splitlines()))])  # fmt: skip
    shares = ", ".join(f"`{k}` {v}" for k, v in sorted(uses.items(), key=lambda kv: (-kv[1], kv[0])))
    parts = ["# Verbs and parts", "Which verbs a method writes itself (for the others the core's own hold), and which parts it takes. No method "
             "imports another, and the core knows none of them by name.", table(["method", "world", "verbs", "parts", "lines"], rows),
             f"How many methods take each part: {shares}."]  # fmt: skip
    write("methods/verbs.md", "\n\n".join(parts))


def method_page(entry: Any) -> str:
    from understudy.cli.show import read
    from understudy.core.card import TAGS

    card, told = entry.card, read(entry.path)
    tree_ = ast.parse(entry.path.read_text())
    cls = next(
        n
        for n in tree_.body
        if isinstance(n, ast.ClassDef)
        and ast.get_docstring(n)
        and any(getattr(getattr(b, "targets", [None])[0], "id", "") == "card" for b in n.body if isinstance(b, ast.Assign))
    )
    against = (
        f"`{card.baseline}`"
        if isinstance(card.baseline, str)
        else ", ".join(code(f"{k}={v}") for k, v in (card.baseline or {}).items())
    )
    facts = [["family", entry.family], ["year", str(card.year)], ["paper", paper(card.paper)], ["baseline", against or "none: others are measured by it"],
             ["proved on", f"the world `{card.world}`"], ["forwards a step", f"at most {card.forwards}"],
             *([["tuned by", "; ".join(f"`{k}` in " + ", ".join(map(str, v)) for k, v in card.tune.items())]] if card.tune else []),
             *([["seed row", code(card.slug)]] if card.slug else [])]  # fmt: skip
    parts = [f"# {entry.name}", f"*{cell(card.title)}* ({card.year})", prose(ast.get_docstring(cls) or "")]
    fields = [[code(f.name), code(f.default), cell(f.range), cell(f.about)] for f in told.fields]
    parts += ["## Fields", table(["field", "default", "range", "what it is"], fields)] if fields else ["## Fields", "None."]
    parts += ["## Card", table(["what", "value"], facts)]
    if card.tags:
        parts.append("\n".join(f"- `{t}`: {cell(TAGS[t])}" for t in sorted(card.tags)))
    parts += ["## Proof", proved(proof(entry.name), entry.name)]
    picture = PICTURES / f"{entry.path.stem}.png"
    if picture.is_file():
        about = ast.get_docstring(ast.parse((DOCS / "scenes" / f"{entry.path.stem}.py").read_text())) or ""
        parts[2:2] = [f"![{entry.name}](../../pictures/scenes/{picture.name})", prose(about)]
    parts += ["## Use", *usage(entry), "## Code", f"`{entry.path.relative_to(ROOT)}`", block(entry.path.read_text().rstrip(), "python")]  # fmt: skip
    return "\n\n".join(parts)


def methods_pages() -> int:
    from understudy.core import registry

    found = sorted(registry.entries().values(), key=lambda e: (e.family, e.card.year, e.name))
    parts = [
        "# Methods",
        f"{len(found)} published methods by family; ✔ the proof holds, ✘ it is published as not reproduced at this scale, empty: none is committed yet. "
        "[Verbs and parts](verbs.md) says what each is made of.",
    ]
    families = []
    for family, group in groupby(found, key=lambda e: e.family):
        entries = list(group)
        rows = [[f"[{e.name}]({e.name}.md)", str(e.card.year), cell(e.idea), mark(proof(e.name))] for e in entries]
        listed = table(["method", "year", "idea", "proof"], rows)
        parts += [f"## {family}", listed]
        families.append(f"family-{family}")
        write(f"methods/family-{family}.md", "\n\n".join([f"# {family}", listed, toc(*(e.name for e in entries), hidden=True)]))
    for e in found:
        write(f"methods/{e.name}.md", method_page(e))
    write("methods/index.md", "\n\n".join([*parts, toc(*families, "verbs", hidden=True)]))
    verbs_page()
    return len(found)


# ------------------------------------------------------------------------------------------------------------------------ studies


def came_out(found: Mapping[str, Any] | None, name: str) -> str:
    """The outcome part by part, and the figures behind it."""
    if found is None:
        return f"None is committed yet. `understudy study {name}` makes it."
    rows = []
    for f in found["findings"]:
        e = f["effect"]
        rows.append(["✔" if f["holds"] else "✘", cell(f["what"]), f"{e['mean']:+.3g}", f"{e['low']:+.3g} to {e['high']:+.3g}"])
    verdict = "holds" if found["holds"] else "not reproduced at this scale"
    about = (f"{len(found['seeds'])} seeds; {len(found['cells'])} cells; {found['seconds']:,.0f} s; "
             + ", ".join(f"{k} {v}" for k, v in found["versions"].items()))  # fmt: skip
    return "\n\n".join([f"{mark(found)} **{verdict}**", table(["", "part of the claim", "mean", "95 % interval"], rows), about + ".",
                        f"Again: `{found['command']}`"])  # fmt: skip


def study_page(entry: Any, found: Mapping[str, Any] | None) -> str:
    from understudy.cli.show import protocol

    card, stem = entry.card, entry.path.stem
    grid = [[code(k), ", ".join(map(str, v))] for k, v in (found or {"grid": {}})["grid"].items()]
    facts = [["year", str(card.year)], ["paper", paper(card.paper)], ["tried in", ", ".join(f"the world `{w}`" for w in card.worlds)], ["seeds", str(card.seeds)],
             ["seed row", code(card.slug)]]  # fmt: skip
    parts = [f"# {entry.name}", f"*{cell(card.title)}* ({card.year})", f"> {plain(card.claim)}"]
    if (PICTURES / f"{stem}.png").is_file():
        about = ast.get_docstring(ast.parse((DOCS / "scenes" / f"{stem}.py").read_text())) or ""
        parts += [f"![{entry.name}](../../pictures/scenes/{stem}.png)", prose(about)]
    parts += ["## Protocol", *map(prose, protocol(entry.path)), *([table(["setting", "values"], grid)] if grid else [])]
    parts += ["## Outcome", came_out(found, entry.name), "## Card", table(["what", "value"], facts)]
    return "\n\n".join([*parts, "## Code", f"`{entry.path.relative_to(ROOT)}`", block(entry.path.read_text().rstrip(), "python")])


def studies_pages() -> int:
    """A page a study, and their index."""
    from understudy.studies import entries

    found = sorted(entries().values(), key=lambda e: (e.card.year, e.name))
    came = {e.name: proof(f"studies/{e.path.stem}") for e in found}
    rows = [[f"[{e.name}]({e.name}.md)", str(e.card.year), cell(e.card.claim), mark(came[e.name])] for e in found]
    for e in found:
        write(f"studies/{e.name}.md", study_page(e, came[e.name]))
    parts = ["# Studies", "Claims of papers that propose no method, each as an experiment; ✔ it came out so, ✘ it is published as not reproduced at this "
             "scale. [Decision 9](../../decisions/0009-what-a-study-is.md) says what a study is.", table(["study", "year", "claim", "outcome"], rows),
             toc(*(e.name for e in found), hidden=True)]  # fmt: skip
    write("studies/index.md", "\n\n".join(parts))
    return len(found)


# ---------------------------------------------------------------------------------------------------------------------------- API


def signature(node: Definition) -> str:
    """As it is written, defaults included; of a class, its fields or its constructor."""
    if isinstance(node, ast.FunctionDef):
        lines = f"def {node.name}({ast.unparse(node.args)})" + (f" -> {ast.unparse(node.returns)}" if node.returns else "")
        if len(lines) > 100:
            args = re.sub(r"\s*\n\s*", " ", ast.unparse(node.args))
            lines = (
                f"def {node.name}(\n    "
                + ",\n    ".join(_split(args))
                + ",\n)"
                + (f" -> {ast.unparse(node.returns)}" if node.returns else "")
            )
        return lines
    bases = f"({', '.join(ast.unparse(b) for b in node.bases)})" if node.bases else ""
    fields = [f"    {ast.unparse(line)}" for line in node.body if isinstance(line, ast.AnnAssign) and not getattr(line.target, "id", "_").startswith("_")
              and "ClassVar" not in ast.unparse(line.annotation)]  # fmt: skip
    made = next((m for m in node.body if isinstance(m, ast.FunctionDef) and m.name == "__init__"), None)
    return "\n".join([f"class {node.name}{bases}", *fields, *([f"    {signature(made)}"] if made else [])])


def _split(args: str) -> list[str]:
    """At commas outside of brackets."""
    out, depth, start = [], 0, 0
    for i, c in enumerate(args):
        depth += (c in "([{") - (c in ")]}")
        if c == "," and not depth:
            out.append(args[start:i].strip())
            start = i + 1
    return [*out, args[start:].strip()]


def describe(n: Name, level: int = 3) -> str:
    """One name: signature, docstring, and the documented public methods of a class."""
    if n.node is None:
        return "\n\n".join([f"{'#' * level} {n.name}", prose(n.doc)])
    parts = [f"{'#' * level} {n.name}", block(signature(n.node), "python"), prose(n.doc)]
    if isinstance(n.node, ast.ClassDef):
        for m in n.node.body:
            if isinstance(m, ast.FunctionDef) and not m.name.startswith("_") and ast.get_docstring(m):
                parts += [
                    f"{'#' * (level + 1)} {n.name}.{m.name}",
                    block(signature(m), "python"),
                    prose(ast.get_docstring(m) or ""),
                ]
    return "\n\n".join(parts)


def api_pages() -> int:
    top = [find(n, "understudy") for n in exported("understudy")]
    own = [n for n in top if n.node is not None]
    intro = prose(ast.get_docstring(tree("understudy")) or "")
    write("api/understudy.md", "\n\n".join(["# understudy", intro, *(describe(n, 2) for n in own)]))
    pages, count = ["understudy"], len(own)
    for package in dict.fromkeys([*PACKAGES, *packages()]):
        parts = [f"# understudy.{package}", prose(ast.get_docstring(tree(f"understudy.{package}")) or "")]
        names = [find(n, f"understudy.{package}") for n in exported(f"understudy.{package}")] if package not in PACKAGES else []
        if package in PACKAGES:
            for module in modules(package):
                inside = defined(module)
                parts += [f"## {module}", prose(ast.get_docstring(tree(module)) or ""), *(describe(n) for n in inside)]
                count += len(inside)
        elif names:
            parts += [describe(n, 2) for n in names if n.node is not None]
        else:
            inside = defined(f"understudy.{package}")
            parts += [describe(n, 2) for n in inside]
            if package == "methods":
                parts.append("Every method by its name: see [the index](../methods/index.md).")
            if package == "worlds":
                for module in modules(package):
                    parts += [
                        f"## {module}",
                        prose(ast.get_docstring(tree(module)) or ""),
                        *(describe(n) for n in defined(module) if n.doc),
                    ]
        pages.append(package)
        write(f"api/{package}.md", "\n\n".join(p for p in parts if p))
    write("api/index.md", "\n\n".join(["# Python", "What can be imported, as the code says it.", toc(*pages, depth=2)]))
    return count


# -------------------------------------------------------------------------------------------------------------- command line, house


def cli_page() -> None:
    """`--help` of every command, as a terminal of 110 columns shows it."""
    env = os.environ | {"COLUMNS": "110", "NO_COLOR": "1", "TERM": "dumb"}

    def ask(*args: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "understudy", *args, "--help"], capture_output=True, text=True, env=env, check=True
        )
        return "\n".join(line.rstrip() for line in done.stdout.splitlines()).strip()

    from understudy.cli import app

    parts = ["# Command line", block(ask())]
    for c in app.registered_commands:
        name = str(c.name or getattr(c.callback, "__name__", ""))
        parts += [f"## understudy {name}", block(ask(name))]
    write("cli.md", "\n\n".join(parts))


def decisions_page() -> None:
    found = sorted(p.stem for p in (DOCS / "decisions").glob("[0-9]*.md"))
    text = ["# Decisions", "Why it is as it is: context, choice, consequence."]
    write(
        "decisions.md", "\n\n".join([*text, toc(*(f"../decisions/{n}" for n in found)) if found else "None is written down yet."])
    )


def house_pages() -> None:
    """CONTRIBUTING and CHANGELOG as they stand at the root."""
    for name in ("CONTRIBUTING", "CHANGELOG"):
        path = ROOT / f"{name}.md"
        if path.exists():
            write(f"{name.lower()}.md", path.read_text())


def main() -> int:
    lacking = undocumented()
    if lacking:
        print(f"{len(lacking)} public names have no docstring:", *lacking, sep="\n  ", file=sys.stderr)
        return 1
    shutil.rmtree(MADE, ignore_errors=True)
    shutil.rmtree(SITE, ignore_errors=True)
    methods, studies, names = methods_pages(), studies_pages(), api_pages()
    cli_page()
    decisions_page()
    house_pages()
    print(f"{methods} methods, {studies} studies, {names} names")
    return subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-E", "-b", "html", str(DOCS), str(SITE)], check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
