"""Who wrote an address decides what it may do: what stands in a file imports nothing and asks nobody, unless a person says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from integration.endpoint import serve
from understudy import config, job, trust
from understudy.cli import app
from understudy.core.errors import Refused

MODULE = "of_a_stranger"


def u(*words: object) -> Result:
    return CliRunner().invoke(app, [str(w) for w in words], prog_name="understudy")


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Written when the stranger's module is imported from the working folder."""
    mark = tmp_path / "mark"
    (tmp_path / f"{MODULE}.py").write_text(
        f"open({str(mark)!r}, 'w').close()\nfrom torch import nn\n\ndef make(classes):\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, MODULE, raising=False)
    return mark


def run(folder: Path, **changed: Any) -> Path:
    """A run's folder as a stranger may send it."""
    settings = config.Config().to_dict() | {"teacher": "cnn", "student": "tiny-mlp"} | changed
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"config": settings, "objects": []}))
    return folder


ADDRESSES = [f"torch:{MODULE}:make", f"file:net.safetensors?arch=torch:{MODULE}:make", f"file:net.safetensors?arch=torch%3A{MODULE}%3Amake",
             f"file:a.safetensors?arch=file:b.safetensors%3Farch%3Dtorch:{MODULE}:make"]  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("who", ["teacher", "student"])
def test_a_strangers_run_imports_nothing(who: str, address: str, mark: Path, tmp_path: Path) -> None:
    folder = run(tmp_path / "run", **{who: address})
    with pytest.raises(Refused, match=f"{who}.*run.config.json.*--trust"):
        job.resume(folder)
    for command in (("resume", folder), ("eval", folder), ("export", folder, "--to", tmp_path / "x.onnx")):
        told = u(*command)
        assert (told.exit_code, "--trust" in told.output) == (2, True), told.output
    told = u("distill", "--config", settings_of(folder, tmp_path), "--print-config")
    assert (told.exit_code, "--trust" in told.output) == (2, True), told.output
    assert not mark.exists()


def settings_of(folder: Path, place: Path) -> Path:
    path = place / "settings.json"
    path.write_text(json.dumps(json.loads((folder / "config.json").read_text())["config"]))
    return path


def test_a_person_may_say_so(mark: Path, tmp_path: Path) -> None:
    folder = run(tmp_path / "run", student=f"torch:{MODULE}:make")
    assert job.resume(folder, trust=True).config.student == f"torch:{MODULE}:make"
    assert mark.exists()
    path = settings_of(folder, tmp_path)
    assert u("distill", "--config", path, "--print-config", "--trust").exit_code == 0
    assert u("distill", "--config", path, "--print-config", "--student", f"torch:{MODULE}:make").exit_code == 0, "typed"
    assert u("distill", "--student", f"torch:{MODULE}:make", "--print-config").exit_code == 0


def test_a_strangers_run_asks_no_server_and_sends_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else whoever sends a folder reads the variable that it names."""
    monkeypatch.setenv("SECRET_OF_THIS_TEST", "sesame-sesame")
    with serve(lambda *_: "x") as point:
        address = f"openai:{point.url}?model=tiny&topk=3&key=SECRET_OF_THIS_TEST"
        data = config.Config().to_dict()["data"] | {"address": "jsonl:x.jsonl", "task": "lm"}
        folder = run(tmp_path / "run", teacher=address, student="hf:./small", data=data)
        told = u("resume", folder)
        assert (told.exit_code, "--trust" in told.output) == (2, True), told.output
        assert "sesame" not in told.output
        assert not point.asked
    for signal in ("store:http://127.0.0.1:9/x", "store:simplecache::http://127.0.0.1:9/x", "store:s3://bucket/x"):
        with pytest.raises(Refused, match="signal.*reads from elsewhere"):
            trust.settings({"signal": signal}, folder)


@pytest.mark.parametrize("address", ["digits", "tiny-cnn?width=3", "shrink:0.25", "hf:./bert", "timm:resnet18", "sklearn:random-forest", "file:x.safetensors?arch=cnn",
                                     "csv:rows.csv", "store:signals", "<Linear>", "", "none", "online"])  # fmt: skip
def test_what_is_data_needs_no_trust(address: str) -> None:
    trust.only_data("teacher", address, "config.json")


def test_what_the_board_starts_reads_no_modules_of_the_working_folder() -> None:
    """A folder that was downloaded may hold a random.py."""
    from understudy.board import launch

    assert launch.PROGRAM[1:] == ("-P", "-m", "understudy")
