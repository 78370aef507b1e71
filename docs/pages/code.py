"""What the code says of itself, read from its text without importing it."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "understudy"
PACKAGES = ("core", "parts")  # every public name counts here, elsewhere those in `__all__`

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


@functools.cache
def tree(module: str) -> ast.Module:
    return ast.parse(module_file(module).read_text())


def doc(module: str) -> str:
    return ast.get_docstring(tree(module)) or ""


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
        return Name(name, f"{module}.{name}", None, doc(f"{module}.{name}"))
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
            yield Name(module, module, None, doc(module))
            yield from defined(module)


def card_class(path: Path) -> ast.ClassDef:
    """The class of a method's or a study's file: the first that has a card."""
    for line in ast.parse(path.read_text()).body:
        if isinstance(line, ast.ClassDef) and any(
            isinstance(b, ast.Assign) and getattr(b.targets[0], "id", "") == "card" for b in line.body
        ):
            return line
    raise LookupError(f"{path} has no class with a card")
