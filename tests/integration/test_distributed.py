"""Two processes that share a run learn what one process with twice the rows a step learns, and one of them writes it down."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import understudy.publish
import understudy.report.html
from integration import launched, sharded, spoken_ranks
from understudy import config as configuration
from understudy.core import checkpoint
from understudy.core.fit import fit
from understudy.job import plan

NEAR = 1e-5  # float32 weights of size 1 after 15 updates: sums are taken in another order
EPOCHS = 3


def config(folder: Path, batch: int) -> configuration.Config:
    """Without batch normalisation, whose statistics would be each process's own."""
    brief = {"epochs": EPOCHS, "batch": batch, "judgements": 1, "checkpoints": 1, "clip": 1.0}
    return configuration.build({"teacher": "tiny-mlp?width=48", "student": "tiny-mlp", "data": {"address": "digits", "limit": 200},
                                "method": "kd", "training": brief, "teacher_training": brief, "alone": False, "folder": str(folder)})  # fmt: skip


def launch(how: tuple[str, ...], script: str, *arguments: str) -> None:
    """`accelerate launch` with two processes on CPUs: `--cpu` would start one, unless it has MPI."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    start = [sys.executable, "-m", "accelerate.commands.launch", *how, "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no",
             "--dynamo_backend", "no", "--main_process_port", str(port), str(Path(__file__).with_name(script))]  # fmt: skip
    done = subprocess.run(
        [*start, *arguments],
        env=os.environ | {"ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def near(a: Any, b: Any, where: str = "") -> None:
    """Equal, but for the last digits of numbers."""
    if isinstance(a, torch.Tensor):
        assert a.shape == b.shape, where
        assert torch.allclose(a.double(), b.double(), rtol=NEAR, atol=NEAR), (
            f"{where}: {(a.double() - b.double()).abs().max():.1e}"
        )
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for k in a:
            near(a[k], b[k], f"{where}/{k}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b)):
            near(x, y, f"{where}/{i}")
    else:
        assert a == b or (isinstance(a, float) and a == pytest.approx(b, rel=NEAR)), where


def test_two_processes_learn_what_one_learns(tmp_path, monkeypatch):
    monkeypatch.setattr(understudy.publish, "export_onnx", lambda *_: 0.0)
    monkeypatch.setattr(understudy.report.html, "write_report", lambda *_: None)
    one, two = tmp_path / "one", tmp_path / "two"
    plan(config(one, 32), folder=one / "run").run()
    settings = tmp_path / "job.toml"
    settings.write_text(configuration.to_toml(config(two, 16)))
    notes = tmp_path / "notes"
    notes.mkdir()
    launch(("--multi_gpu",), "watched.py", str(two), str(notes), "distill", "--config", str(settings), "--run-id", "run")

    for phase in ("teacher", "student"):
        a, b = (checkpoint.found(home / "run" / "checkpoints" / phase) for home in (one, two))
        assert [p.name for p in a] == [p.name for p in b]
        near(checkpoint.read(a[-1]), checkpoint.read(b[-1]), phase)
    near(load_file(one / "run" / "student.safetensors"), load_file(two / "run" / "student.safetensors"))

    writers = {p.name: p.read_text().splitlines() for p in notes.iterdir()}
    assert writers.keys() == {"rank0", "rank1"}
    assert len(writers["rank0"]) > 5
    assert writers["rank1"] == []
    assert not list(two.rglob("*.tmp"))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process does: a teacher, what it says in a folder, and students of it and of the folder, at twice the rows a step."""
    home = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(understudy.publish, "export_onnx", lambda *_: 0.0)
        patch.setattr(understudy.report.html, "write_report", lambda *_: None)
        first = plan(config(home, 32))
        first.teach()
        shutil.copy(next((home / "teachers").iterdir()), home / "teacher.safetensors")
        brief = config(home, 32).to_dict() | {"teacher": f"file:{home / 'teacher.safetensors'}"}
        (home / "job.toml").write_text(configuration.to_toml(configuration.build(brief)))
        launched.u("label", "--config", home / "job.toml", "--out", home / "signals")
        for name, signal in (("online", "online"), ("store", f"store:{home / 'signals'}")):
            plan(configuration.build(brief | {"signal": signal}), folder=home / "runs" / name).run()
    return home


@pytest.mark.parametrize(
    ("how", "signals"), [(("--multi_gpu",), ("store",)), (("--use_fsdp", "--fsdp_version", "2"), ("store", "online"))]
)
def test_all_of_the_job_by_two_processes(alone: Path, tmp_path: Path, how: tuple[str, ...], signals: tuple[str, ...]) -> None:
    """Whole students and sharded ones: the folder they label is the same to the byte; from it and online they learn what one process learns, every row
    once an epoch; stopped at a step of no checkpoint, they end with the same bits; one of them writes."""
    brief = configuration.read(alone / "job.toml")
    brief["training"] |= {"batch": 16, "checkpoints": 3}
    (tmp_path / "job.toml").write_text(configuration.to_toml(configuration.build(brief)))
    launch(how, "launched.py", str(tmp_path), *signals)

    files = lambda home: {p.name: p.read_bytes() for p in (home / "signals").iterdir()}
    assert files(tmp_path) == files(alone)
    student = lambda home, name: load_file(home / "runs" / name / "student.safetensors")
    for name in signals:
        near(student(alone, name), student(tmp_path, name), name)
    straight, cut = ((tmp_path / "runs" / n / "student.safetensors").read_bytes() for n in ("store", "cut"))
    assert straight == cut

    seen = [json.loads((tmp_path / f"rows.{r}.json").read_text()) for r in (0, 1)]
    learned = [
        {name: [k for k, _ in itertools.groupby(steps)] for name, steps in s.items()} for s in seen
    ]  # the doctor tries the first step
    size = len(plan(configuration.build(brief)).data.train)
    for name in signals:
        steps = zip(*(s[name] for s in learned), strict=True)
        rows = [row for a, b in steps for row in (*a[1:], *b[1:])]
        for epoch in range(EPOCHS):
            assert sorted(rows[epoch * size : (epoch + 1) * size]) == list(range(size)), (
                f"{name}: every row once in epoch {epoch}"
            )
    for s in learned:
        first = s["resumed"][0][0]
        assert s["cut"][-1][0] == launched.STOP > first > 0
        assert s["cut"][:first] + s["resumed"] == s["store"]
    writes = [json.loads((tmp_path / f"writes.{r}.json").read_text()) for r in (0, 1)]
    assert len(writes[0]) > 10 and not writes[1]
    assert not list((tmp_path / "runs").rglob("*.tmp"))


@pytest.mark.parametrize("name", ["kd", "fitnet"])
def test_a_sharded_student_learns_what_a_whole_one_learns(name, tmp_path):
    """FSDP2: parameters in parts, a tap and a projector beside them; taken apart and put back it goes on to the same bits."""
    one = fit(sharded.begin(name, ranks=2), sharded.STEPS)["student"].state_dict()
    launch(("--use_fsdp", "--fsdp_version", "2"), "sharded.py", str(tmp_path), name)
    for rank in (0, 1):
        near(dict(one), load_file(tmp_path / f"{name}.{rank}.safetensors"))


@pytest.mark.parametrize(
    ("name", "how"),
    [("whole", ("--multi_gpu",)), ("parts", ("--multi_gpu",)), ("sharded", ("--use_fsdp", "--fsdp_version", "2"))],
)
def test_a_token_counts_alike_whoever_has_it(tmp_path: Path, name: str, how: tuple[str, ...]) -> None:
    """Processes with unequal numbers of tokens, parts of a step, a teacher and a student in pieces: the mean is over all tokens of the step."""
    launch(how, "spoken_ranks.py", str(tmp_path), name)
    first, second = (load_file(tmp_path / f"{name}.{r}.safetensors") for r in (0, 1))
    dtype = torch.get_default_dtype()
    one = spoken_ranks.train(ranks=2)
    torch.set_default_dtype(dtype)
    for k, v in one.items():
        assert torch.equal(first[k], second[k]) and torch.allclose(v, first[k], rtol=1e-9, atol=1e-9), k


@pytest.mark.parametrize("how", [("--multi_gpu",), ("--use_fsdp", "--fsdp_version", "2")])
def test_processes_that_write_stay_together(tmp_path: Path, how: tuple[str, ...]) -> None:
    """Each judges what its own student wrote, of whatever length, and all hold the same student after it."""
    launch(how, "spoken_ranks.py", str(tmp_path), "on-policy")
    first, second = (load_file(tmp_path / f"on-policy.{r}.safetensors") for r in (0, 1))
    assert all(torch.equal(v, second[k]) for k, v in first.items())
