"""The parts that methods are made of: a page each, with who takes what from it, and their list."""

from __future__ import annotations

from collections.abc import Mapping

from pages.code import Name, defined, doc, module_file, modules
from pages.facts import Method
from pages.markdown import Folder, block, cell, fold, prose, toc
from pages.methodpage import anchor
from pages.reference import describe


def write(folder: Folder, all_: Mapping[str, Method]) -> int:
    """A page a module of `parts`; the list says how many methods take it."""
    rows, names, count = [], [], 0
    for module in modules("parts"):
        name = module.rpartition(".")[2]
        users = [m for m in all_.values() if name in m.parts]
        inside = defined(module)
        count += len(inside)
        first = " ".join(doc(module).split("\n\n")[0].split())
        taken = f"{len(users)}: {methods(users)}" if users else "by no method here"
        rows.append((-len(users), f"- **[{name}]({name}.md)** {cell(first)}<br>*Taken by* {taken}"))
        names.append(name)
        folder.write(f"_generated/parts/{name}.md", page(name, module, inside, users))
    parts = ["# Parts", f"{len(rows)} modules of pure functions and tiny networks, of which methods are made, and the methods that take each: read from what "
             "their files import. A part that no method here takes is used by a world, a task, a teacher or another part.",
             "\n".join(row for _, row in sorted(rows)), toc(*names, hidden=True)]  # fmt: skip
    folder.write("_generated/parts/index.md", "\n\n".join(parts))
    return count


def methods(users: list[Method]) -> str:
    return " · ".join(f"[{m.name}](../methods/{m.name}.md)" for m in users) or "none"


def page(name: str, module: str, inside: list[Name], users: list[Method]) -> str:
    parts = [
        f"# {name}",
        "[Parts](index.md)",
        prose(doc(module)),
        block(f"from understudy.parts.{name} import " + ", ".join(n.name for n in inside), "python"),
    ]
    for n in inside:
        takers = [m for m in users if n.name in m.parts[name]]
        parts += [f"({anchor(name, n.name)})=", describe(n, 2), *([f"Taken by {methods(takers)}."] if takers else [])]
    source = module_file(module).read_text().rstrip()
    return "\n\n".join([*parts, "## Code", fold(f"The file, {len(source.splitlines())} lines", block(source, "python"))])
