"""Bad command lines, in this process and a few in one of their own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bad.cases_commands import LINES, Line
from bad.runner import LONGEST, tree, untrained
from understudy.cli import app

CHILDREN = ("distill --nonsense", "config: toml broken", "rows: ragged")  # a look from outside


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    from understudy.job import Job

    folder = tmp_path_factory.mktemp("finished")
    asked = "distill --teacher tiny-cnn --student tiny-mlp --epochs 1 --limit 100 --no-alone --set teacher_training.epochs=1 --run-id a --force"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(Job, "_publish", lambda *_: None)  # no report is looked at
        done = CliRunner().invoke(app, asked.split(), prog_name="understudy")
    assert done.exit_code == 0, done.output
    return folder / "runs"


def told(line: Line, code: int | None, out: str, err: str) -> None:
    """One line on standard error, and exit code 2."""
    assert code == 2, f"exit code {code}: {out[-500:]} {err[-1500:]}"
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 1, err
    assert "Traceback" not in err
    assert len(lines[0]) <= LONGEST, len(lines[0])
    for part in (line.field, line.value, line.allowed):
        assert part.lower() in lines[0].lower(), f"{part!r} isn't told: {lines[0]}"


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name[:60])
def test_commands(line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.chdir(tmp_path)
    if line.run:
        shutil.copytree(request.getfixturevalue("finished"), tmp_path / "runs")
    line.lay(tmp_path)
    before = tree(tmp_path)
    untrained(monkeypatch)
    found = CliRunner().invoke(app, line.args, prog_name="understudy")
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    told(line, found.exit_code, found.stdout, found.stderr)
    assert tree(tmp_path) == before


def test_there_are_many() -> None:
    from bad import cases_calls, cases_config, cases_data, cases_models

    named = {m.__name__: len(m.CASES) for m in (cases_calls, cases_config, cases_data, cases_models)}
    print(f"{named | {'command lines': len(LINES), 'fields of methods': len(cases_config.METHOD_FIELDS)}}")
    assert sum(named.values()) + len(LINES) >= 400


@pytest.mark.parametrize("name", CHILDREN)
def test_in_a_process_of_its_own(name: str, tmp_path: Path) -> None:
    line = next(at for at in LINES if at.name == name)
    line.lay(tmp_path)
    before = tree(tmp_path)
    command = [sys.executable, "-m", "understudy", *line.args]
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    told(line, done.returncode, done.stdout, done.stderr)
    assert tree(tmp_path) == before
