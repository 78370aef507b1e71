"""What trackers are told, read back from where they keep it."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import tomllib
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from understudy import Refused, track
from understudy import config as configuration
from understudy.cli import app
from understudy.job import history, plan, resume

OURS = ("MLFLOW_", "WANDB_", "TRACKIO_")


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No variable of a user's, no variable left behind, and nobody beyond this machine is spoken to."""
    for name in [k for k in os.environ if k.startswith(OURS)]:
        monkeypatch.delenv(name)
    connect = socket.socket.connect

    def near(self: socket.socket, address: Any) -> Any:
        assert self.family == socket.AF_UNIX or address[0] in ("127.0.0.1", "::1", "localhost"), address
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", near)
    yield
    for name in [k for k in os.environ if k.startswith(OURS)]:
        del os.environ[name]


def config(folder: Path, trackers: Any, **more: Any) -> configuration.Config:
    training = {"epochs": 6, "batch": 32, "judgements": 3, "checkpoints": 2}
    return configuration.build({"teacher": "tiny-mlp", "student": "tiny-mlp?width=8", "data": {"address": "digits", "limit": 100}, "training": training,
                                "teacher_training": {"epochs": 1}, "alone": False, "folder": str(folder), "track": trackers} | more)  # fmt: skip


def points(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Every figure of metrics.jsonl, as a tracker names it."""
    told: dict[str, list[tuple[int, float]]] = {}
    for p in history(folder):
        for k, v in p.items():
            if k not in ("phase", "step"):
                told.setdefault(f"{p['phase']}/{k}", []).append((p["step"], v))
    return told


def test_a_run_that_was_stopped_and_resumed_is_one_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tensorboard", "mlflow", "wandb"):
        pytest.importorskip(name)
    import mlflow
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)
    job = plan(config(tmp_path / "runs", "tensorboard,mlflow,wandb"))
    store = f"sqlite:///{job.folder}/tracking/mlflow/mlflow.db"

    def stop(phase: str, step: int, steps: int, *_: Any) -> None:
        if phase == "student" and step == steps - 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job.run(bar=stop)
    assert not mlflow.is_tracking_uri_set()
    client = MlflowClient(store)
    (experiment,) = client.search_experiments(filter_string="name = 'understudy'")
    (first,) = client.search_runs([experiment.experiment_id])
    assert first.info.status == "KILLED"
    before = client.get_metric_history(first.info.run_id, "student/loss/hard")
    done = resume(job.folder).run()
    written = points(job.folder)
    assert {"teacher/loss/hard", "student/loss/hard", "student/loss/soft", "student/valid", "teacher/valid"} <= written.keys()
    assert 0 < len(before) < len(written["student/loss/hard"])

    (again,) = client.search_runs([experiment.experiment_id])
    assert (again.info.run_id, again.info.status, again.info.run_name) == (first.info.run_id, "FINISHED", job.folder.name)
    assert again.data.params["method.t"] == "4.0"
    assert again.data.params["student"] == "tiny-mlp?width=8"
    assert again.data.params["training.epochs"] == "6"
    for name, values in written.items():
        got = [(m.step, m.value) for m in client.get_metric_history(again.info.run_id, name)]
        same(sorted(got), values)
    found = again.data.metrics
    assert found["found/student/score"] == done.findings.student.score
    assert found["found/teacher/parameters"] == done.findings.teacher.parameters
    assert found["found/agreement"] == done.findings.agreement

    seen = scalars(job.folder / "tracking" / "tensorboard")
    for name, values in written.items():
        same(seen[name], values)
    assert seen["found/student/score"][0][1] == pytest.approx(done.findings.student.score)
    (parameters,) = (job.folder / "tracking" / "tensorboard").rglob("hparams.yml")
    assert "method.t: 4.0" in parameters.read_text()

    kept = sorted((job.folder / "tracking" / "wandb").glob("offline-run-*"))
    assert len({f.name.rpartition("-")[2] for f in kept}) == 1  # of one run, which `wandb sync` puts together
    rows = [row for f in kept for row in heard(f)]
    assert [row["_step"] for row in rows] == list(range(len(rows)))
    for name, values in written.items():
        phase = name.partition("/")[0]
        same([(row[f"{phase}/step"], row[name]) for row in rows if name in row], values)

    assert [p.name for p in tmp_path.iterdir()] == ["runs"]  # nothing is written elsewhere
    assert capfd.readouterr().out == ""


def same(got: list[tuple[int, float]], values: list[tuple[int, float]]) -> None:
    """Every point once; single precision will do."""
    assert [step for step, _ in got] == [step for step, _ in values]
    assert [v for _, v in got] == pytest.approx([v for _, v in values], rel=1e-6)


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    read.Reload()
    return {tag: [(e.step, e.value) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def heard(folder: Path) -> list[dict[str, Any]]:
    """The history of an offline run, out of its own file."""
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = folder.glob("*.wandb")
    rows = []
    for data in records(file.read_bytes()):
        record = Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            rows.append({i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in record.history.item})
    return rows


def records(log: bytes, block: int = 32768, head: int = 7) -> Iterator[bytes]:
    """Of a log in LevelDB's format behind a header of 7 bytes: checksum, length and kind (whole, first, middle, last), then the bytes."""
    at, data = head, b""
    while at + head <= len(log):
        if block - at % block < head:  # too little room for another
            at += block - at % block
            continue
        size, kind = int.from_bytes(log[at + 4 : at + 6], "little"), log[at + 6]
        data, at = data + log[at + head : at + head + size], at + head + size
        if kind in (1, 4):
            yield data
            data = b""


def test_a_tracker_that_fails_is_warned_of_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    from accelerate.tracking import TensorBoardTracker

    told = track.Tracking(tmp_path, ("tensorboard",), "run")
    told.begin({"lr": 0.1})
    told("student", 0, {"loss/hard": 1.0})

    def full(*_: Any, **__: Any) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as m:
        m.setattr(TensorBoardTracker, "log", full)
        with pytest.warns(
            UserWarning, match="tensorboard failed and is told nothing more of this run: OSError: disk full"
        ) as warned:
            told("student", 1, {"loss/hard": 0.5})
        assert len(warned) == 1
    told("student", 2, {"loss/hard": 0.4})  # without a word
    told.end("FINISHED")
    assert scalars(tmp_path / "tensorboard")["student/loss/hard"] == [(0, 1.0)]


def test_what_cannot_be_used_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name in ("trackio", "mlflow") else there(name, *a))
    with pytest.raises(Refused, match=r"track='trackio' is not allowed: .*trackio isn't.*pip install trackio"):
        plan(config(tmp_path, "trackio")).run()
    with pytest.raises(Refused, match=r"track='mlflow' .*pip install 'understudy\[track\]'"):
        plan(config(tmp_path, ["tensorboard", "mlflow"])).run()
    with pytest.raises(Refused, match="did you mean 'mlflow'"):
        config(tmp_path, "mlflo")
    assert not list(tmp_path.iterdir())
    result = CliRunner().invoke(app, ["distill", "--track", "trackio", "--print-config"])
    assert configuration.build(tomllib.loads(result.stdout)).track == ("trackio",)


def test_one_that_does_not_open_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    (tmp_path / "tensorboard").write_text("a file in the way")
    with pytest.raises(Refused, match=r"track='tensorboard' .*can be opened \(\w+Error"):
        track.Tracking(tmp_path, ("tensorboard",), "run").begin({})


def test_one_flag_everywhere(tmp_path: Path) -> None:
    for given in ("mlflow,wandb", " mlflow , wandb,mlflow", ["mlflow", "wandb"], ("mlflow", "wandb")):
        made = config(tmp_path, given)
        assert made.track == ("mlflow", "wandb")
        (tmp_path / "job.toml").write_text(configuration.to_toml(made))
        assert configuration.build(configuration.read(tmp_path / "job.toml")) == made
    (tmp_path / "job.yaml").write_text("track: mlflow,wandb\n")
    assert configuration.build(configuration.read(tmp_path / "job.yaml")).track == ("mlflow", "wandb")
    assert configuration.Config(track="wandb").track == ("wandb",)  # type: ignore[arg-type]
    assert configuration.Config().track == ()


def test_only_the_first_process_tells(tmp_path: Path) -> None:
    job: Any = types.SimpleNamespace(folder=tmp_path, config=config(tmp_path, "tensorboard"), world=types.SimpleNamespace(rank=1),
                                     data=types.SimpleNamespace(fingerprint=lambda: "0"))  # fmt: skip
    with track.tracking(job) as told:
        told("student", 0, {"loss/hard": 1.0})
        told.found(None)
    assert not list(tmp_path.iterdir())


def test_a_run_from_before_there_were_trackers_is_resumed(tmp_path: Path) -> None:
    job = plan(config(tmp_path, ""))
    job._settle_in()
    kept = json.loads((job.folder / "config.json").read_text())
    del kept["config"]["track"]
    (job.folder / "config.json").write_text(json.dumps(kept))
    resume(job.folder)._settle_in()
    kept["config"]["alone"] = True
    (job.folder / "config.json").write_text(json.dumps(kept))
    with pytest.raises(Refused, match="same config"):
        job._settle_in()
