"""What a reviewer can check by looking, checked by looking: the size of the core, who knows whom, what stands in a folder."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import understudy
from understudy import kept
from understudy.core import registry

SOURCE = Path(understudy.__file__).parent
ROOT = SOURCE.parents[1]


def test_the_core_is_small() -> None:
    lines = {p.name: len(p.read_text().splitlines()) for p in (SOURCE / "core").glob("*.py")}
    assert sum(lines.values()) < 1750, lines


@pytest.mark.parametrize("folder", ["core", "parts", "tasks"])
def test_what_lies_below_knows_no_method_and_no_world(folder: str) -> None:
    names = set(registry.files()) | {n.replace("-", "_") for n in registry.files()}
    for path in (SOURCE / folder).glob("*.py"):
        tree = ast.parse(path.read_text())
        prose = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                assert not node.module.startswith(("understudy.methods", "understudy.worlds")), f"{path.name}: {node.module}"
            if isinstance(node, ast.Compare) and not (isinstance(node.ops[0], ast.In) and isinstance(node.left, ast.Constant)):
                words = [
                    n.value
                    for n in ast.walk(node)
                    if isinstance(n, ast.Constant) and isinstance(n.value, str) and id(n) not in prose
                ]
                assert not names & set(words), f"{path.name}:{node.lineno} compares with a method's name: {words}"


def test_no_method_imports_another() -> None:
    for name, path in registry.files().items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.ImportFrom, ast.Import)):
                said = node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name
                assert "methods" not in said and "worlds" not in said, f"{name} imports {said}"
    for family in {p.parent for p in registry.files().values()}:
        for path in family.glob("*.py"):
            assert path.stem == "__init__" or path.stem.replace("_", "-") in registry.files(), f"{path.name} is no method"


def test_no_file_of_ours_is_large() -> None:
    for folder in ("src", "tests", "docs", "proofs", "benchmarks", "examples"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "_generated" not in path.parts and "__pycache__" not in path.parts:
                assert path.stat().st_size <= 500_000, path


def test_a_picture_and_a_proof_for_every_kind() -> None:
    """A method that learns in a world of its own kind shows what it does, and says whether that was worth it."""
    for e in registry.entries().values():
        if e.card.tasks:
            assert (ROOT / "docs" / "pictures" / "scenes" / f"{e.path.stem}.png").is_file(), f"{e.name} has no picture"
            assert (ROOT / "docs" / "scenes" / f"{e.path.stem}.py").is_file(), f"{e.name} has no scene"
            assert kept.proofs(ROOT / "proofs", e.name), f"{e.name} has no proof"
