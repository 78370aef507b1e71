"""A method on a world of its own kind: from Python, from the command line, on data that aren't there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from typer.testing import CliRunner

from understudy import Refused, rehearse
from understudy.cli import app
from understudy.methods import kd


def u(*args: Any) -> Any:
    return CliRunner().invoke(app, [str(a) for a in args])


def test_what_came_of_it_is_kept(tmp_path: Path) -> None:
    told: list[Any] = []
    done = rehearse(kd(t=2.0), steps=5, seed=3, folder=tmp_path, say=lambda *said: told.append(said))
    kept = json.loads((tmp_path / "rehearsal.json").read_text())
    assert kept["method"] == {"name": "kd", "a": 0.9, "t": 2.0} and kept["updates"] == 5 and kept["score"] == done.score
    assert kept["metric"] == "accuracy" and 0 <= done.score <= 1
    weights = load_file(tmp_path / "artefact.safetensors")
    assert weights.keys() == done.run.nets["student"].state_dict().keys()
    assert ("kd", 5, 5) in told and rehearse(kd(t=2.0), steps=5, seed=3).score == done.score


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"world": "digit"}, "did you mean 'digits'"),
        ({"world": "digits", "data": "."}, "makes its own rows"),
        ({"world": "stream", "data": "/nowhere/at/all"}, "that exists"),
        ({"steps": 0}, "steps=0"),
    ],
)
def test_what_does_not_fit_is_refused(how: dict[str, Any], says: str) -> None:
    with pytest.raises(Refused, match=says):
        rehearse("kd", **how)


def test_another_kind_of_world_is_refused() -> None:
    with pytest.raises(Refused, match=r"dmd2.*is for generate.*mixture"):
        rehearse("dmd2", "digits")


def test_from_the_command_line(tmp_path: Path) -> None:
    done = u("rehearse", "kd?t=2", "--steps", 3, "--against", "--folder", tmp_path)
    assert done.exit_code == 0, done.output
    assert "kd" in done.stdout and "alone" in done.stdout and "accuracy · 3 updates" in done.stdout
    assert (tmp_path / "rehearsal-kd-0" / "artefact.safetensors").is_file()
    told = json.loads(u("rehearse", "kd", "--steps", 3, "--folder", tmp_path, "--json").stdout)
    assert told["kd"]["updates"] == 3
    assert u("rehearse", "kdd").exit_code == 2
