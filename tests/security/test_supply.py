"""What the project is made of is pinned, and no file sends an installer elsewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ELSEWHERE = re.compile(r"pypi\.|pythonhosted|npmjs|anaconda|index-url|index_url|find-links|trusted-host|artifactory|devpi|download\.pytorch|PIP_INDEX|UV_INDEX|ghcr\.io|docker\.io|gcr\.io", re.I)  # fmt: skip


def pinned() -> dict[str, str]:
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line and not line.startswith("#")]
    found = {m[1]: m[2] for line in lines if (m := re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([0-9][A-Za-z0-9.!_-]*)", line))}
    assert len(found) == len(lines), (
        f"a line that isn't name==version: {[line for line in lines if line.partition('==')[0] not in found]}"
    )
    return found


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!;~ ]", name, maxsplit=1)[0]).lower()


def test_every_package_is_pinned_to_one_version() -> None:
    names = [plain(n) for n in pinned()]
    assert len(names) == len(set(names)) > 100


def test_what_is_asked_for_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {plain(n) for n in (*project["dependencies"], *project["optional-dependencies"]["dev"])}
    assert needed <= {plain(n) for n in pinned()}


def test_no_file_names_a_place_to_install_from() -> None:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a checkout of git")
    files = subprocess.run([git, "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=True).stdout.split(
        "\0"
    )
    read = [
        ROOT / f
        for f in files
        if f
        and Path(f).suffix
        in ("", ".py", ".toml", ".lock", ".txt", ".cfg", ".ini", ".yaml", ".yml", ".md", ".json", ".sh", ".js", ".j2", ".cff")
    ]
    assert len(read) > 300
    here = Path(__file__)
    assert [
        f"{p.relative_to(ROOT)}: {m[0]}"
        for p in read
        if p != here and p.is_file() and (m := ELSEWHERE.search(p.read_text("utf-8", "replace")))
    ] == []


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://example.org/simple",
        "pip install --extra-index-url x y",
        "--find-links wheels",
        "https://files.pythonhosted.org/x",
        "PIP_INDEX_URL=x",
    ],
)
def test_such_a_place_would_be_found(line: str) -> None:
    assert ELSEWHERE.search(line)


def test_the_audit_is_a_command() -> None:
    """It needs a network, so it isn't run here; it asks about the lock, and nothing else."""
    made = (ROOT / "Makefile").read_text()
    if "audit:" not in made:
        pytest.skip("no such target")
    assert re.search(r"pip-audit .*-r requirements\.lock", made)
