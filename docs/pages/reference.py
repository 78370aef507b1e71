"""What can be imported and what can be typed: Python's names, the command line, and what stands at the root."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys

from pages.code import PACKAGES, ROOT, Definition, Name, defined, doc, exported, find, modules, packages
from pages.markdown import Folder, block, prose, toc


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


def api(folder: Folder) -> int:
    """A page a package; parts have pages of their own."""
    own = [n for n in (find(n, "understudy") for n in exported("understudy")) if n.node is not None]
    folder.write(
        "_generated/api/understudy.md", "\n\n".join(["# understudy", prose(doc("understudy")), *(describe(n, 2) for n in own)])
    )
    pages, count = ["understudy"], len(own)
    for package in dict.fromkeys([*PACKAGES, *packages()]):
        names = [find(n, f"understudy.{package}") for n in exported(f"understudy.{package}")] if package not in PACKAGES else []
        parts = [f"# understudy.{package}", prose(doc(f"understudy.{package}"))]
        if package == "parts":
            parts += ["A page each: see [the parts](../parts/index.md)."]
        elif package in PACKAGES:
            for module in modules(package):
                inside = defined(module)
                parts += [f"## {module}", prose(doc(module)), *(describe(n) for n in inside)]
                count += len(inside)
        elif names:
            parts += [describe(n, 2) for n in names if n.node is not None]
        else:
            parts += [describe(n, 2) for n in defined(f"understudy.{package}")]
            if package == "methods":
                parts.append("Every method by its name: see [the index](../methods/index.md).")
            if package == "worlds":
                for module in modules(package):
                    parts += [f"## {module}", prose(doc(module)), *(describe(n) for n in defined(module) if n.doc)]
        pages.append(package)
        folder.write(f"_generated/api/{package}.md", "\n\n".join(p for p in parts if p))
    folder.write(
        "_generated/api/index.md", "\n\n".join(["# Python", "What can be imported, as the code says it.", toc(*pages, depth=2)])
    )
    return count


def cli(folder: Folder) -> None:
    """`--help` of every command, as a terminal of 110 columns shows it."""
    from understudy.cli import app

    names = [str(c.name or getattr(c.callback, "__name__", "")) for c in app.registered_commands]
    env = os.environ | {"COLUMNS": "110", "NO_COLOR": "1", "TERM": "dumb"}
    ask = "import sys; from understudy.cli import app\nfor name in sys.argv[1:]:\n  print('\\0', end='')\n  app([*filter(None, [name]), '--help'], prog_name='understudy', standalone_mode=False)"
    done = subprocess.run([sys.executable, "-c", ask, "", *names], capture_output=True, text=True, env=env, check=True)
    said = ["\n".join(line.rstrip() for line in text.splitlines()).strip() for text in done.stdout.split("\0")[1:]]
    parts = ["# Command line", block(said[0])]
    for name, text in zip(names, said[1:], strict=True):
        parts += [f"## understudy {name}", block(text)]
    folder.write("_generated/cli.md", "\n\n".join(parts))


def house(folder: Folder) -> None:
    """Decisions, and CONTRIBUTING and CHANGELOG as they stand at the root."""
    found = sorted(p.stem for p in (ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    text = [
        "# Decisions",
        "Why it is as it is: context, choice, consequence.",
        toc(*(f"../decisions/{n}" for n in found)) if found else "None yet.",
    ]
    folder.write("_generated/decisions.md", "\n\n".join(text))
    for name in ("CONTRIBUTING", "CHANGELOG"):
        folder.write(f"_generated/{name.lower()}.md", (ROOT / f"{name}.md").read_text())
