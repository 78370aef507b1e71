"""What machines do to a run, done to it: numbers that aren't, memory that doesn't suffice, disks that are full or closed, processes that
die, clocks that jump."""

from __future__ import annotations

import copy
import datetime
import json
import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from typer.testing import CliRunner

import understudy.export.ship
import understudy.job
import understudy.prove
import understudy.publish
import understudy.report.costs
import understudy.report.html
from integration import doomed
from integration.forked import Nursery
from understudy import alive, methods
from understudy import data as sources
from understudy.board import launch
from understudy.cli import app
from understudy.core import checkpoint
from understudy.core.errors import NotFinite, Refused, Unwritable
from understudy.core.files import write_atomically
from understudy.core.fit import fit
from understudy.core.run import start
from understudy.core.world import recast
from understudy.job import Job, Log, history, plan, resume
from understudy.report import words
from understudy.worlds.digits import Net, digits

NAN = float("nan")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is published after the training is tested elsewhere, and takes longer."""
    for module, name in ((understudy.publish, "export_onnx"), (understudy.export.ship, "export_onnx"), (understudy.report.costs, "timings"),
                         (understudy.report.html, "write_report")):  # fmt: skip
        monkeypatch.setattr(module, name, getattr(module, name))  # put back after the test
    doomed.hurry()


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    made = Nursery()
    yield made
    made.close()


# ------------------------------------------------------------------------------------------------------------- numbers that aren't


def poisoned(row: int | None = 17) -> Any:
    """Digits, one training row of which holds NaN."""
    data = copy.deepcopy(sources.load("digits", limit=200))
    if row is not None:
        data.train.x[row, 0, 3, 3] = NAN
    return data


def teacher() -> nn.Module:
    torch.manual_seed(3)
    return Net(4, 6, 8).eval()


def job(home: Path, data: Any, *, skip: int = 0, name: str = "kd", **training: Any) -> Job:
    how = doomed.brief(home, alone=False)
    how = type(how)(**{**vars(how), "teacher": "<Net>", "method": {"name": name},
                       "training": type(how.training)(**{**vars(how.training), "skip_bad_batches": skip, **training})})  # fmt: skip
    return plan(how, teacher=teacher(), data=data, folder=home / "run")


def first_bad(data: Any, home: Path, row: int = 17) -> int:
    world = job(home, data).world
    return next(s for s in range(world.steps) if row in world.rows(s).row)


def student(home: Path) -> bytes:
    return (home / "run" / "student.safetensors").read_bytes()


def test_a_row_that_holds_nan_stops_before_the_weights_take_it_in(tmp_path: Path) -> None:
    data = poisoned()
    bad = first_bad(data, tmp_path / "looked")
    with pytest.raises(NotFinite, match=rf"'hard' of 'kd' is nan at step {bad} \(row 17: x isn't finite\); the weights"):
        job(tmp_path, data).run()
    saved = checkpoint.latest(tmp_path / "run" / "checkpoints" / "student")
    assert saved is not None
    assert saved["step"] == bad
    assert all(t.isfinite().all() for t in [*saved["nets"].values()] if t.is_floating_point())
    assert all(p["step"] < bad or "valid" in p for p in history(tmp_path / "run"))
    assert json.loads((tmp_path / "run" / "state.json").read_text())["state"] == "failed"

    fine = fit(start(methods.kd(), job(tmp_path / "again", poisoned(None)).world, 0, device="cpu"), bad)
    assert all(torch.equal(v, saved["nets"][k]) for k, v in fine.nets.state_dict().items())


def test_bad_batches_are_skipped_where_that_is_asked_for(tmp_path: Path) -> None:
    data = poisoned()
    with pytest.warns(UserWarning, match=r"student: .*\(row 17: x isn't finite\); it was skipped, as 9 may be"):
        job(tmp_path / "whole", data, skip=9).run()
    points = [p for p in history(tmp_path / "whole" / "run") if "skipped" in p]
    assert [p["skipped"] for p in points] == [1, 2], "once an epoch"
    assert all("row 17" in p["why"] for p in points)
    told = f"Skipped, since nothing finite came of it: steps {points[0]['step']}, {points[1]['step']}."
    assert words.skipped(history(tmp_path / "whole" / "run")).strip() == told, "and so the report tells it"

    with pytest.raises(NotFinite, match=r"1 of 1 skipped so far"), pytest.warns(UserWarning, match="row 17"):
        job(tmp_path / "broken", data, skip=1).run()
    with pytest.raises(NotFinite, match="row 17"):
        resume(tmp_path / "broken" / "run", teacher=teacher(), data=data).run()
    with pytest.warns(UserWarning, match="row 17"):
        resume(tmp_path / "broken" / "run", teacher=teacher(), data=data, skip_bad_batches=9).run()
    assert student(tmp_path / "whole") == student(tmp_path / "broken")
    assert (tmp_path / "whole/run/metrics.jsonl").read_bytes() == (tmp_path / "broken/run/metrics.jsonl").read_bytes()


class Silent(nn.Module):
    """A teacher that has no answer about some rows."""

    def __init__(self, inner: nn.Module, rows: Tensor) -> None:
        super().__init__()
        self.inner = inner
        self.register_buffer("rows", rows)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x)
        return torch.where((x[:, None] == self.rows).flatten(2).all(2).any(1)[:, None], NAN, out)


def test_a_teachers_answer_and_its_row_are_named(tmp_path: Path) -> None:
    data = poisoned(None)
    made = job(tmp_path, data)
    made.world.given_teacher = Silent(teacher(), data.train.x[[5, 90]])
    step = next(s for s in range(made.world.steps) if {5, 90} & set(made.world.rows(s).row.tolist()))
    here = [r for r in made.world.rows(step).row.tolist() if r in (5, 90)]
    rows = f"row {here[0]}" if len(here) == 1 else f"rows {here[0]}, {here[1]}"
    with pytest.raises(NotFinite, match=rf"'soft' of 'kd' is nan at step {step} \({rows}: what 'teacher' answers isn't finite\)"):
        made.run()


@pytest.mark.parametrize("skip", [0, 1])
def test_a_gradient_that_is_not_finite_where_its_loss_is(monkeypatch: pytest.MonkeyPatch, skip: int) -> None:
    """sqrt(0) is 0, and its slope isn't a number. Weights, optimiser and batch statistics are as they were, to the last bit."""
    run = fit(start(methods.alone(), recast(digits(0), batch=8, steps=9), 1, device="cpu"), 4)
    before = held(run)
    real = type(run.method).loss

    def loss(self: Any, run: Any, batch: Any) -> dict[str, Tensor]:
        odd = (0 * run["student"].head.weight).square().sum().sqrt() if run.step == 4 else 0 * run["student"].head.weight.sum()
        return {**real(self, run, batch), "odd": odd}

    monkeypatch.setattr(type(run.method), "loss", loss)
    if skip:
        fit(run, 5, skip=skip)
        assert list(run.skipped) == [4]
        assert "gradient at student.head.weight" in run.skipped[4]
    else:
        with pytest.raises(
            NotFinite, match=r"terms of 'alone' are finite and their gradient at student\.head\.weight isn't at step 4"
        ):
            fit(run, 5)
    assert same(before, held(run))
    assert run.step == 4 + skip
    assert all(p.grad is None for p in run.nets.parameters())
    if skip:
        fit(run)
        assert not same(before, held(run))


def held(run: Any) -> Any:
    return copy.deepcopy({"nets": dict(run.nets.state_dict()), "opts": {k: o.state_dict() for k, o in run.opts.items()}})


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(v, b[k]) for k, v in a.items())
    return len(a) == len(b) and all(map(same, a, b)) if isinstance(a, (list, tuple)) else a == b


def test_what_a_large_memory_took_in_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """It isn't copied before a step, so such a run can't go on from there, and says so."""
    run = start(methods.alone(), recast(digits(0), batch=8), 1, device="cpu")
    run["student"].register_buffer("memory", torch.zeros(2**20 + 1))
    real = type(run.method).loss

    def loss(self: Any, run: Any, batch: Any) -> dict[str, Tensor]:
        run["student"].memory[0] += 1
        return {k: v * NAN for k, v in real(self, run, batch).items()}

    monkeypatch.setattr(type(run.method), "loss", loss)
    with pytest.raises(Refused, match="large buffer.*last checkpoint") as e:
        fit(run, 1, skip=9)
    assert not isinstance(e.value, NotFinite)


# ------------------------------------------------------------------------------------------------------- memory that doesn't suffice


def test_half_a_batch_at_a_time_where_memory_is_really_short(tmp_path: Path, nursery: Nursery) -> None:
    log = tmp_path / "log"
    for name, parts, short in (("short", 1, True), ("parts", 2, False)):
        code, _ = nursery.call("integration.doomed:wide", str(tmp_path / name), parts, short, "kd", out=log)
        assert code == 0, log.read_text()
    one, other = (load_file(tmp_path / f"{name}.safetensors") for name in ("short", "parts"))
    assert int(one.pop("parts")) == int(other.pop("parts")) == 2
    assert same(one, other)


def test_a_method_that_takes_a_batch_whole_says_so(tmp_path: Path, nursery: Nursery) -> None:
    log = tmp_path / "log"
    code, _ = nursery.call("integration.doomed:wide", str(tmp_path / "short"), 1, True, "rkd", out=log)
    assert code == 1
    assert (
        "training.batch=4096 is not allowed: rows that memory suffices for: 'rkd' compares the rows of a batch" in log.read_text()
    )
    assert "use a smaller batch" in log.read_text()


@pytest.mark.parametrize("kind", ["torch", "python"])
def test_a_run_says_that_it_learns_from_parts_and_is_resumed_in_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Memory becomes short at the fourth step, for more than half a batch."""
    real, tight = type(methods.kd()).loss, True

    def loss(self: Any, run: Any, batch: Any) -> dict[str, Tensor]:
        out = real(self, run, batch)
        if tight and run.step >= 3 and len(batch) > 16:
            raise torch.OutOfMemoryError("CUDA out of memory") if kind == "torch" else MemoryError
        return out

    monkeypatch.setattr(type(methods.kd()), "loss", loss)
    with pytest.warns(UserWarning, match="memory didn't suffice at step 3; from there on 32 rows are learned from in 2 parts"):
        job(tmp_path / "whole", poisoned(None)).run()
    assert [p for p in history(tmp_path / "whole" / "run") if "parts" in p] == [{"phase": "student", "step": 3, "parts": 2}]
    steps = [p["step"] for p in history(tmp_path / "whole" / "run") if "loss/soft" in p]
    assert steps == sorted(set(steps)), "a step that was tried twice is told once"

    def stop(phase: str, step: int, _steps: int) -> None:
        if step == 7:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"), pytest.warns(UserWarning, match="2 parts"):
        job(tmp_path / "broken", poisoned(None)).run(bar=stop)
    tight = False  # there would be room again, and yet it goes on as it would have
    resume(tmp_path / "broken" / "run", teacher=teacher(), data=poisoned(None)).run()
    assert student(tmp_path / "whole") == student(tmp_path / "broken")
    assert (tmp_path / "whole/run/metrics.jsonl").read_bytes() == (tmp_path / "broken/run/metrics.jsonl").read_bytes()


def test_what_a_step_without_memory_had_written_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch statistics included: the whole run is one that learned from two parts from that step on."""
    want = fit(start(methods.alone(), recast(digits(0), batch=8, steps=9), 1, device="cpu"), 4)
    want.world = recast(want.world, parts=2)
    fit(want)
    real = type(want.method).loss

    def loss(self: Any, run: Any, batch: Any) -> dict[str, Tensor]:
        out = real(self, run, batch)
        if run.step >= 4 and len(batch) > 4:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 68719476736 bytes")
        return out

    monkeypatch.setattr(type(want.method), "loss", loss)
    found = fit(start(methods.alone(), recast(digits(0), batch=8, steps=9), 1, device="cpu"))
    assert found.world.parts == 2
    assert same(held(want), held(found))


def test_other_errors_are_not_mistaken_for_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def loss(*_: Any) -> dict[str, Tensor]:
        raise RuntimeError("shapes")

    monkeypatch.setattr(type(methods.alone()), "loss", loss)
    with pytest.raises(RuntimeError, match="shapes"):
        fit(start(methods.alone(), digits(0), 1, device="cpu"), 1)


# ------------------------------------------------------------------------------------------------------- disks that are full or closed


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A file system of so many bytes."""
    place = tmp_path / "disk"

    def mounted(size: int) -> Path:
        place.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], capture_output=True, text=True, check=False)  # fmt: skip
        if done.returncode:
            pytest.skip(f"no small file system can be mounted here: {done.stderr.strip()}")
        return place

    if shutil.which("mount") is None:
        pytest.skip("no `mount` here")
    yield mounted
    if place.is_mount():
        subprocess.run(["umount", "--lazy", str(place)], check=True)  # a checkpoint that was read may still be mapped into memory


def fill(place: Path, free: int) -> Path:
    """A file that leaves so many bytes."""
    path = place / "filler"
    path.write_bytes(b"\0" * max(0, shutil.disk_usage(place).free - free))
    return path


def whole_files(home: Path) -> None:
    """Nothing half-written, and every checkpoint can be read."""
    assert not list(home.rglob("*.tmp"))
    assert all(checkpoint.read(p) for p in home.rglob("step-*.safetensors"))
    for path in home.rglob("metrics.jsonl"):
        assert all(json.loads(line) for line in path.read_text().splitlines())


def test_a_disk_that_is_full_ends_a_run_in_one_line_and_costs_nothing(tmp_path: Path, disk: Callable[[int], Path]) -> None:
    plan(doomed.brief(tmp_path / "one"), folder=tmp_path / "one" / "run").run()
    place = disk(4 * 2**20)
    filler = fill(place, 120_000)
    with pytest.raises(
        Unwritable, match=rf"{place}.* can't be written: No space left on device; [\d,]+ bytes are free there, [\d,]+ are needed"
    ):
        plan(doomed.brief(place), folder=place / "run").run()
    whole_files(place)
    assert list(place.rglob("step-*.safetensors")), "it had come to a checkpoint"
    told = CliRunner().invoke(app, ["resume", str(place / "run")], prog_name="understudy")
    assert told.exit_code == 2
    assert told.stderr.splitlines()[-1].startswith("✘ ")
    assert "No space left" in told.stderr.splitlines()[-1]
    filler.unlink()
    resume(place / "run").run()
    whole_files(place)
    for name in ("student.safetensors", "metrics.jsonl"):
        assert (place / "run" / name).read_bytes() == (tmp_path / "one" / "run" / name).read_bytes(), name


def test_a_full_disk_leaves_no_half_line(disk: Callable[[int], Path]) -> None:
    place = disk(2**20)
    log = Log(place / "metrics.jsonl", "student", 0)
    log(0, {"loss/hard": 1.0})
    log.flush()
    fill(place, 0)
    for step in range(1, 400):
        log(step, {"loss/hard": 1.0})
    with pytest.raises(Unwritable, match=r"metrics\.jsonl can't be written: No space left"):
        log.flush()
    points = [json.loads(line) for line in (place / "metrics.jsonl").read_text().splitlines()]
    assert [p["step"] for p in points] == [0]


def test_a_full_disk_takes_no_export_and_no_proof(tmp_path: Path, disk: Callable[[int], Path]) -> None:
    made = job(tmp_path / "home", poisoned(None)).run()
    place = disk(2**20)
    filler = fill(place, 4096)
    for name in ("out.safetensors", "out.onnx", "out"):
        with pytest.raises(Unwritable, match=rf"{place}.*No space left.*bytes are free"):
            made.export(place / name)
    assert [p.name for p in place.iterdir()] == ["filler"]
    result = {"method": "kd", "long": "x" * 10_000}
    with pytest.raises(Unwritable, match=r"kd\.json can't be written: No space left"):
        understudy.prove.publish(result, place / "proofs")
    filler.write_bytes(b"\0" * (filler.stat().st_size + shutil.disk_usage(place).free))
    with pytest.raises(Unwritable, match="No space left"):
        doomed.prove.__wrapped__(place)  # type: ignore[attr-defined]
    filler.unlink()
    for name in ("out.safetensors", "out.onnx", "out"):
        made.export(place / name)
    assert load_file(place / "out.safetensors").keys() == load_file(place / "out" / "model.safetensors").keys()


def test_a_folder_that_is_closed(tmp_path: Path, disk: Callable[[int], Path]) -> None:
    place = disk(2**20)
    plan(doomed.brief(place, alone=False), folder=place / "run").run()
    before = {p: p.read_bytes() for p in place.rglob("*") if p.is_file()}
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    for verb in (["resume", str(place / "run")], ["export", str(place / "run"), "--to", str(place / "out.safetensors")]):
        told = CliRunner().invoke(app, verb, prog_name="understudy")
        assert told.exit_code == 2, told.output
        assert "can't be written: Read-only file system" in told.stderr.splitlines()[-1]
    assert {p: p.read_bytes() for p in place.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(("number", "says"), [(13, "Permission denied"), (122, "quota"), (30, "Read-only")])
def test_every_refusal_of_a_disk_is_told_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, says: str) -> None:
    write_atomically(tmp_path / "kept.json", "before")

    def refuses(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuses)
    with pytest.raises(Unwritable, match=rf"kept\.json can't be written: .*{says}.*5 are needed") as e:
        write_atomically(tmp_path / "kept.json", "after")
    assert isinstance(e.value, OSError)
    assert [p.name for p in tmp_path.iterdir()] == ["kept.json"]
    assert (tmp_path / "kept.json").read_text() == "before"


# ------------------------------------------------------------------------------------------------------------- processes that die


def test_a_process_that_dies_ends_the_other_in_one_line(tmp_path: Path, nursery: Nursery) -> None:
    """Two share a run; one is killed in the middle. The folder goes on, with two again, to the bits of a run that nobody killed."""

    def together(home: Path, dies: int) -> list[int]:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = str(s.getsockname()[1])
        shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "ACCELERATE_USE_CPU": "true"}  # fmt: skip
        home.mkdir(exist_ok=True)
        pids = [nursery.start("integration.doomed:shared", str(home), dies if r else -1, out=home / f"{r}.log",
                              env=shared | {"RANK": str(r), "LOCAL_RANK": str(r)}) for r in (0, 1)]  # fmt: skip
        return [nursery.wait(p, 90.0) for p in reversed(pids)][::-1]

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert together(whole, -1) == [0, 0], (whole / "0.log").read_text()
    codes = together(broken, 3)
    said = (broken / "0.log").read_text()
    assert codes == [2, -9], said
    assert "another of the 2 processes of this run is gone" in said
    assert json.loads((broken / "run" / "state.json").read_text())["state"] == "failed"
    assert together(broken, -1) == [0, 0], (broken / "0.log").read_text()
    for name in ("student.safetensors", "metrics.jsonl"):
        assert (whole / "run" / name).read_bytes() == (broken / "run" / name).read_bytes(), name


# ------------------------------------------------------------------------------------------------------------------ clocks that jump


def test_a_clock_that_jumps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By up to a day to and fro whenever it is looked at: same bits, sensible durations, points in order, a name of its own."""
    job(tmp_path / "still", poisoned(None)).run()
    chance, real = random.Random(0), time.time

    class Jumping(datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.datetime.fromtimestamp(time.time(), tz)

    monkeypatch.setattr(time, "time", lambda: real() + chance.uniform(-86400, 86400))
    monkeypatch.setattr(datetime, "datetime", Jumping)
    names = {understudy.job._run_id("kd", "digits") for _ in range(20)}
    assert len(names) == 20

    def stop(_phase: str, step: int, _steps: int) -> None:
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job(tmp_path / "jumps", poisoned(None)).run(bar=stop)
    made = resume(tmp_path / "jumps" / "run", teacher=teacher(), data=poisoned(None)).run()
    assert 0 < made.findings.seconds < 600
    assert json.loads((tmp_path / "jumps" / "run" / "state.json").read_text())["state"] == "finished"
    for name in ("student.safetensors", "metrics.jsonl"):
        assert (tmp_path / "still" / "run" / name).read_bytes() == (tmp_path / "jumps" / "run" / name).read_bytes(), name


def test_a_run_lives_whatever_the_clock_says(tmp_path: Path) -> None:
    """The clock that a process was born by may have been set since: by the new one it was born after it wrote, or long before."""
    (tmp_path / "config.json").write_text("{}")
    with alive.known(tmp_path):
        said = json.loads((tmp_path / "state.json").read_text())
        for jump in (-86400.0, 0.0, 86400.0):
            assert launch.process(said | {"since": said["since"] + jump}) is not None
        assert launch.process(said | {"born": said["born"] - 1}) is None, "somebody else with its number"
        assert launch.process(said | {"born": None, "since": said["since"] - 86400}) is None, "as older files tell it"
