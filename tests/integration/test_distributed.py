"""Two processes that share a run learn what one process with twice the rows a step learns, and one of them writes it down."""

from __future__ import annotations

import os
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
from integration import sharded, spoken_ranks
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
