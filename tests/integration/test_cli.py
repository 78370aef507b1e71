"""The command line as a user and as a machine meet it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from understudy.cli import app
from understudy.cli.show import read
from understudy.core import registry
from understudy.core.errors import NotFinite

COMMANDS = ("distill", "resume", "eval", "export", "list", "show", "plan", "doctor", "compare", "prove")
SMALL = (
    "--teacher",
    "tiny-cnn",
    "--student",
    "tiny-mlp",
    "--epochs",
    "1",
    "--limit",
    "100",
    "--no-alone",
    "--set",
    "teacher_training.epochs=1",
)


def u(*args: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in args], prog_name="understudy")


def refused(result: Result, code: int = 2) -> str:
    """The one line on standard error."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


@pytest.fixture
def findings(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the doctor says."""
    said: list[Any] = []
    monkeypatch.setattr("understudy.checks.doctor", lambda job: said)
    return said


def finding(level: str, message: str) -> Any:
    return types.SimpleNamespace(level=level, name="rows", message=message)


def test_one_end_to_end(tmp_path: Path, findings: list[Any]) -> None:
    """distill -> eval -> export -> resume; a warning is printed and doesn't stop."""
    findings.append(finding("warning", "few [10]"))
    runs, run = tmp_path / "runs", tmp_path / "runs" / "a"
    done = u("distill", *SMALL, "--folder", runs, "--run-id", "a", "--method", "kd", "--set", "t=2")
    assert done.exit_code == 0, done.output
    assert "teacher" in done.stdout
    assert "report.html" in done.stdout
    assert "rows: few [10]" in done.stderr
    assert json.loads((run / "config.json").read_text())["config"]["method"] == {"name": "kd", "a": 0.9, "t": 2.0}

    scored = json.loads(u("eval", run, "--json").stdout)
    assert scored["metrics"]["accuracy"] == json.loads((run / "findings.json").read_text())["student"]["score"]
    assert json.loads(u("eval", run, "--data", "digits", "--limit", 200, "--json").stdout)["rows"] == 40
    assert "accuracy" in u("eval", f"file:{run}/student.safetensors", "--data", "digits").stdout

    out = tmp_path / "x.safetensors"
    assert json.loads(u("export", run, "--to", out, "--json").stdout)["files"] == [
        {"path": str(out), "kind": "safetensors", "bytes": out.stat().st_size}
    ]
    assert out.read_bytes() == (run / "student.safetensors").read_bytes()

    (run / "findings.json").unlink()
    again = u("resume", run, "--json")
    assert again.exit_code == 0
    assert json.loads(again.stdout)["findings"]["student"]["score"] == scored["metrics"]["accuracy"]
    assert "resume" in refused(u("distill", *SMALL, "--folder", runs, "--run-id", "a"))


def test_the_doctors_errors_stop(tmp_path: Path, findings: list[Any]) -> None:
    findings.append(finding("error", "the labels leak"))
    args = ("distill", *SMALL, "--folder", tmp_path)
    assert "the labels leak" in refused(u(*args))
    told = u(*args, "--json")
    assert json.loads(told.stdout)["findings"] == [{"level": "error", "name": "rows", "message": "the labels leak"}]
    assert not list(tmp_path.iterdir())
    looked = u("doctor", *SMALL, "--json")
    assert looked.exit_code == 1
    assert json.loads(looked.stdout)["errors"] == 1
    findings[:] = [finding("ok", "fine")]
    assert u("doctor", *SMALL).exit_code == 0


def test_interrupted_and_not_finite(tmp_path: Path, findings: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from understudy.job import Job

    def stop(error: BaseException) -> Result:
        def run(self: Job, **_: Any) -> Job:
            raise error

        monkeypatch.setattr(Job, "run", run)
        return u("distill", *SMALL, "--folder", tmp_path, "--run-id", "a")

    said = stop(KeyboardInterrupt())
    assert said.exit_code == 130
    assert said.stderr.splitlines()[-1].endswith(f"understudy resume {tmp_path / 'a'}")
    said = stop(NotFinite("the term 'soft' is nan"))
    assert said.exit_code == 3
    assert said.stderr.splitlines()[-1] == "✘ the term 'soft' is nan"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ("distill --set t=0", "kd.t=0.0 is not allowed: a number in [0.01, 100]"),
        ("distill --set t=warm", "kd.t='warm' is not allowed: a number"),
        ("distill --set temperature=4", "'kd' has a, t"),
        ("distill --set t", "NAME=VALUE"),
        ("distill --set world.steps=4", "a field of kd, or of training, teacher_training, data"),
        ("distill --set training.epoch=4", "did you mean 'epochs'"),
        ("distill --method dkdd", "did you mean 'dkd'"),
        ("distill --epochs 0", "training.epochs=0"),
        ("distill --epochs many", "--epochs"),
        ("distill --epoch 3", "--epochs"),
        ("distill --teacher resnett", "model='resnett'"),
        ("distill --data digit", "did you mean 'digits'"),
        ("distill --run-id a/b", "without slashes"),
        ("distill --config nowhere.toml", "nowhere.toml"),
        ("resume nowhere", "a run's folder"),
        ("eval runs/nowhere", "a run's folder"),
        ("eval tiny-cnn", "a model with weights"),
        ("export nowhere --to student.pt", ".safetensors, .int8.onnx, .onnx, .pt2, or a folder"),
        ("list --family logits", "did you mean 'logit'"),
        ("list --tag tap", "did you mean 'taps'"),
        ("show dkdd", "did you mean 'dkd'"),
        ("prove", "--all"),
        ("prove alone", "'alone' is what others are measured by"),
        ("compare --methods kd", "two methods or more"),
        ("compare --methods kd,dkd --world digit", "did you mean 'digits'"),
        ("compare --methods kd,dkd --world digits --lr 1", "a problem of its own"),
        ("compare --methods kd?t=0,dkd", "kd.t=0.0"),
        ("lst", "Did you mean 'list'"),
    ],
)
def test_refused_in_one_line(args: str, says: str, findings: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert says in refused(u(*args.split()))
    told = u(*args.split(), "--json")
    assert told.exit_code == 2
    assert says in json.loads(told.stdout)["error"]
    assert told.stderr == ""
    assert not list(tmp_path.iterdir())


def test_traceback_on_request() -> None:
    assert "Traceback" in u("distill", "--set", "t=0", "--traceback").stderr


def test_print_config_goes_round(tmp_path: Path) -> None:
    first = u(
        "distill",
        "--method",
        "at",
        "--set",
        "student_at=a,b",
        "--set",
        "w=10",
        "--set",
        "training.optimiser=adam",
        "--lr",
        "1",
        "--no-alone",
        "--print-config",
    )
    assert first.exit_code == 0
    file = tmp_path / "job.toml"
    file.write_text(first.stdout)
    assert u("distill", "--config", file, "--print-config").stdout == first.stdout
    given = json.loads(u("distill", "--config", file, "--json", "--print-config", "--method", "kd", "--seed", 3).stdout)
    assert given["method"] == {"name": "kd", "a": 0.9, "t": 4.0}
    assert (given["training"]["seed"], given["training"]["optimiser"], given["alone"]) == (3, "adam", False)


def test_list_and_show_agree_with_the_code() -> None:
    listed = json.loads(u("list", "--json").stdout)
    assert [m["name"] for m in sorted(listed, key=lambda m: m["name"])] == sorted(registry.files())
    assert {m["family"] for m in json.loads(u("list", "--family", "logit", "--json").stdout)} == {"logit"}
    assert len(u("list").stdout.splitlines()) == len(listed)  # a line a method where nobody looks
    from dataclasses import fields

    for name, cls in registry.load_all().items():
        told = read(registry.files()[name])
        assert told.equation, name
        assert [(f.name, f.default) for f in told.fields] == [(f.name, f.default) for f in fields(cls)], name  # type: ignore[arg-type]


def test_show(tmp_path: Path) -> None:
    said = u("show", "kd", "--proofs", tmp_path).stdout
    for part in ("Distilling the Knowledge", "arXiv:1503.02531", "t^2 KL", "[0.01, 100]", "temperature", "understudy prove kd"):
        assert part in said
    proof = {"holds": False, "verdict": "not reproduced at this scale: +0.1 ± 0.6 points", "seeds": [0, 1]}
    (tmp_path / "ls_kd.json").write_text(json.dumps(proof))
    assert "✘ not reproduced at this scale" in u("show", "ls_kd", "--proofs", tmp_path).stdout
    (tmp_path / "birds").mkdir()
    (tmp_path / "birds" / "ls_kd.json").write_text(
        json.dumps(proof | {"holds": True, "verdict": "holds: +1 ± 0.1", "data": "birds"})
    )
    both = u("show", "ls_kd", "--proofs", tmp_path).stdout
    assert "✘ not reproduced at this scale" in both and "✔ holds: +1 ± 0.1  2 seeds, birds" in both


def test_torch_stays_out_of_quick_commands() -> None:
    code = "import sys; from understudy.cli import app; app(sys.argv[1:], standalone_mode=False, prog_name='u'); sys.exit('torch' in sys.modules)"
    for args in (["--help"], ["list"], ["show", "kd"], ["distill", "--help"]):
        done = subprocess.run([sys.executable, "-c", code, *args], check=False, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), args
        assert done.stdout


def test_compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from understudy.worlds import WORLDS
    from understudy.worlds.digits import digits

    monkeypatch.setenv("COLUMNS", "160")  # nothing is folded
    monkeypatch.setitem(WORLDS, "digits", lambda seed, ready=False: digits(seed))  # whose teachers know nothing, and cost nothing
    done = u("compare", "--methods", "kd,kd?t=1", "--seeds", 2, "--steps", 3, "--json")
    told = json.loads(done.stdout)
    assert (told["problem"], told["metric"], told["updates"], told["split"]) == ("digits", "accuracy", 3, "valid")
    a, b = told["methods"]
    assert a["difference"] is None
    assert b["difference"]["mean"] == pytest.approx(sum(y - x for x, y in zip(a["scores"], b["scores"])) / 2)
    assert b["difference"]["low"] <= b["difference"]["mean"] <= b["difference"]["high"]

    args = ("--methods", "kd,pkt", "--seeds", 2, "--steps", 3, "--teacher", "tiny-cnn", "--student", "tiny-mlp", "--limit", 100,
            "--set", "teacher_training.epochs=1", "--folder", tmp_path)  # fmt: skip
    done = u("compare", *args, "--split", "test")
    assert done.exit_code == 0, done.output
    for part in ("★", "difference to kd", "2 seeds, paired", "test rows"):
        assert part in done.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["teachers"]  # nothing but the teacher that others can use


@pytest.mark.parametrize("holds", [True, False])
def test_prove(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holds: bool) -> None:
    from understudy import prove

    monkeypatch.setattr(
        prove,
        "prove",
        lambda name, seeds, say, data, kept: {"method": name, "holds": holds, "verdict": "as it came out", "seeds": [0, 1]},
    )
    done = u("prove", "kd", "ls_kd", "--seeds", 2, "--folder", tmp_path, "--jobs", 1)
    assert done.exit_code == (0 if holds else 1)
    assert done.stdout.count("as it came out") == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["kd.json", "ls_kd.json"]
    assert u("prove", "kd", "--new", "--folder", tmp_path, "--json").stdout == "{}\n"


def test_a_real_proof_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from understudy import prove

    monkeypatch.setattr(prove, "outcome", lambda where, side, seed, split: 0.5 + 0.01 * seed * (not side.placebo))
    monkeypatch.setattr(prove, "world", lambda where, seed: types.SimpleNamespace(steps=3, metric="accuracy", share=True))
    done = u("prove", "kd", "--seeds", 3, "--folder", tmp_path, "--jobs", 1, "--json")
    assert done.exit_code == 1, done.output
    assert json.loads(done.stdout)["kd"] == json.loads((tmp_path / "kd.json").read_text())
    assert "not reproduced" in u("show", "kd", "--proofs", tmp_path).stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example(name: str) -> None:
    done = u(name, "--help")
    assert done.exit_code == 0
    assert f"understudy {name}" in done.stdout.split("For instance")[1]
    assert "--json" in done.stdout


def test_help_tells_the_exit_codes() -> None:
    said = u("--help").stdout
    assert re.search(r"0 done.*1 a check.*2 refused.*3 stopped.*130 interrupted", " ".join(said.split()))
    assert u().stdout == said
    assert u("--version").stdout == "understudy 0.1.0\n"


def test_only_one_process_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert u("list").stdout == ""
    assert "process 1: kd.t=0.0" in refused(u("distill", "--set", "t=0"))


def test_names_are_completed() -> None:
    from understudy.cli.shared import complete_methods

    assert "dkd" in complete_methods("dk")
    assert complete_methods("kd,dk") == ["kd,dkd"]


def test_the_real_doctor_passes_the_default_job(tmp_path: Path) -> None:
    done = u("doctor", *SMALL, "--folder", tmp_path, "--json")
    assert done.exit_code == 0, done.output
    assert {f["level"] for f in json.loads(done.stdout)["findings"]} <= {"ok", "warning"}
