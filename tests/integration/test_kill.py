"""A run that was killed, again and again, ends with the same bits as one that wasn't."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import understudy.prove
import understudy.publish
import understudy.report.html
from integration import child
from integration.forked import Nursery
from understudy.core import checkpoint

FITNET = json.dumps({"name": "fitnet", "student_at": "stage2", "teacher_at": "stage2"})
BOTH = json.dumps(
    {"name": "compose", "methods": [{"name": "kd"}, {"name": "fitnet"}], "weights": [1.0, 0.5], "schedules": ["constant", "fall"]}
)
PHASES = ("teacher", "student", "alone")


@pytest.fixture(autouse=True)
def trained_only(monkeypatch):
    """What is published after the training is tested elsewhere, and takes longer."""
    monkeypatch.setattr(understudy.publish, "export_onnx", lambda *_: 0.0)
    monkeypatch.setattr(understudy.report.html, "write_report", lambda *_: None)


def process(verb: str, home: Path, *what: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, child.__file__, verb, str(home), *what], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def killed(p: subprocess.Popen[str]) -> None:
    _, err = p.communicate()
    assert p.returncode == -signal.SIGKILL, err


def tree(value):
    """Whatever a checkpoint holds, comparable to the last bit."""
    if hasattr(value, "numpy"):
        return (str(value.dtype), tuple(value.shape), value.contiguous().numpy().tobytes())
    if isinstance(value, dict):
        return {k: tree(v) for k, v in value.items()}
    return [tree(v) for v in value] if isinstance(value, (list, tuple)) else value


def same(whole: Path, broken: Path) -> None:
    for name in ("student.safetensors", "metrics.jsonl"):
        assert (whole / "run" / name).read_bytes() == (broken / "run" / name).read_bytes(), name
    for phase in PHASES:
        a, b = (checkpoint.found(home / "run" / "checkpoints" / phase) for home in (whole, broken))
        assert [p.name for p in a] == [p.name for p in b]
        assert tree(checkpoint.read(a[-1])) == tree(checkpoint.read(b[-1])), phase
    teachers = [next((home / "teachers").glob("*.safetensors")).read_bytes() for home in (whole, broken)]
    assert teachers[0] == teachers[1]


def test_killed_at_given_steps_and_while_saving(tmp_path):
    """A checkpoint comes at every third step of twenty: kills before the first one, between two, and in the middle of one."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    child.job("begin", whole, FITNET, "sgd").run()
    kills = [("begin", "teacher", 2, "bar"), ("resume", "student", 15, "half"), ("resume", "alone", 20, "bar")]
    for verb, phase, step, where in kills:
        killed(process(verb, broken, FITNET, "sgd", phase, str(step), where))
        steps = [int(p.stem.removeprefix("step-")) for p in checkpoint.found(broken / "run" / "checkpoints" / phase)]
        assert step not in steps or where == "bar", "a half-written checkpoint took its place"
        assert all(checkpoint.read(p) for p in checkpoint.found(broken / "run" / "checkpoints" / phase))
    child.job("resume", broken, FITNET, "sgd").run()
    same(whole, broken)


def test_killed_from_outside(tmp_path):
    """Somebody else kills it, wherever it happens to be once it has come so far."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    child.job("begin", whole, BOTH, "adamw").run()
    for i, seen in enumerate(("teacher 7", "student 4", "alone 11")):
        p = process("resume" if i else "begin", broken, BOTH, "adamw")
        assert p.stdout is not None
        for line in p.stdout:
            if line.strip() == seen:
                break
        os.kill(p.pid, signal.SIGKILL)
        killed(p)
        assert not (broken / "run" / "student.safetensors").exists()
    child.job("resume", broken, BOTH, "adamw").run()
    same(whole, broken)


# at random points -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nursery():
    made = Nursery()
    yield made
    made.close()


def whole(home: Path, what: str, nursery: Nursery) -> tuple[int, float]:
    """Do it without a kill: how many times it makes a file safe, and its seconds."""
    code, seconds = nursery.call(f"integration.doomed:{what}", str(home), out=home.with_suffix(".log"))
    assert code == 0, home.with_suffix(".log").read_text()
    return int(home.with_suffix(".log").read_text().split()[-1]), seconds


def killed_and_done(home: Path, what: str, nursery: Nursery, *, call: int = -1, after: float | None = None) -> bool:
    """Have it killed at a call or after so many seconds, then do it to its end. Whether it was alive until then."""
    log = home.with_suffix(".log")
    code, _ = nursery.call(f"integration.doomed:{what}", str(home), call, out=log, after=after)
    assert code == -signal.SIGKILL or (code == 0 and call < 0), log.read_text()
    again, _ = nursery.call(f"integration.doomed:{what}", str(home), out=log)
    assert again == 0, log.read_text()
    return code != 0


def left(home: Path) -> dict[str, object]:
    """All that lies there, comparable: times left out, and where it lies."""
    found: dict[str, object] = {}
    for path in sorted(p for p in home.rglob("*") if p.is_file() and p.name != "state.json"):
        data, name = path.read_bytes(), str(path.relative_to(home))
        if path.suffix == ".json":
            told = json.loads(data.replace(str(home).encode(), b"home"))
            for of_time in ("seconds", "written", "time"):
                told.pop(of_time, None)
            found[name] = told
        elif "checkpoints" in path.parts:
            found[name] = tree(checkpoint.read(path))
        else:
            found[name] = data.replace(str(home).encode(), b"home")
    return found


@pytest.mark.parametrize("what", ["distil", "export", "prove"])
def test_killed_at_random_points(what: str, tmp_path: Path, nursery: Nursery) -> None:
    """Six times at a moment, six times while a file is made safe: done once more, everything is as if nothing had happened."""
    begun, one = tmp_path / "begun", tmp_path / "one"
    begun.mkdir()
    if what == "export":
        whole(begun, "distil", nursery)
    shutil.copytree(begun, one)
    calls, seconds = whole(one, what, nursery)
    want, chance, alive = left(one), random.Random(what), 0
    points: list[dict[str, Any]] = [{"after": chance.uniform(0.05, seconds)} for _ in range(6)]
    points += [{"call": c} for c in chance.sample(range(calls), 6)]
    for i, point in enumerate(points):
        home = shutil.copytree(begun, tmp_path / str(i))
        alive += killed_and_done(home, what, nursery, **point)
        assert not list(home.rglob("*.tmp")), point
        found = left(home)
        assert found.keys() == want.keys(), point
        for name in want:
            assert found[name] == want[name], (point, name)
        shutil.rmtree(home)
    assert alive >= 9  # a quick machine may be done before the moment has come


def test_a_proof_does_no_training_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is stopped in the eleventh of its fourteen; others of other code, or none, aren't taken for its own."""
    trained: list[Any] = []

    def outcome(where: Any, side: Any, seed: int, split: str) -> float:
        if len(trained) == stop:
            raise KeyboardInterrupt
        trained.append((side, seed, split))
        return float(seed)

    stop = 10
    monkeypatch.setattr(understudy.prove, "outcome", outcome)
    monkeypatch.setattr(understudy.prove, "TUNING", (1000,))
    folder = understudy.prove.unfinished(tmp_path, "kd")
    with pytest.raises(KeyboardInterrupt):
        understudy.prove.prove("kd", 2, kept=folder)
    stop = 1000
    result = understudy.prove.prove("kd", 2, kept=folder)
    assert len(trained) == len(set(trained)) == 14
    monkeypatch.setattr(understudy.prove, "_code", lambda: "changed")
    assert understudy.prove.prove("kd", 2, kept=folder)["scores"] == result["scores"]
    assert len(trained) == 28
    understudy.prove.publish(result, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["kd.json"]
