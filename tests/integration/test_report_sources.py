"""Where a report's numbers come from: gradients, hashes, milliseconds, earlier runs."""

from __future__ import annotations

import json
import math
import os
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from understudy.cli import app
from understudy.core import registry
from understudy.core.batch import Batch
from understudy.core.fit import fit
from understudy.core.run import Run, start
from understudy.core.world import recast
from understudy.report import costs, gradients, origin, pictures
from understudy.report.earlier import Earlier, earlier
from understudy.report.tables import curves
from understudy.worlds.digits import digits


class Noisy(nn.Module):
    """Remembers what passes through it, and draws."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.Dropout(0.3), nn.ReLU(), nn.Linear(16, 10)
        )
        self.seen: torch.Tensor
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen = self.seen + x.detach().sum()  # another tensor each time, where batch statistics are written in place
        out: torch.Tensor = self.net(x)
        return out


def state(run: Run) -> dict[str, torch.Tensor]:
    moments = {
        f"{who} {i} {k}": v for who, opt in run.opts.items() for i, s in opt.state_dict()["state"].items() for k, v in s.items()
        if isinstance(v, torch.Tensor)
    }  # fmt: skip
    return run.nets.state_dict() | moments


def trained(method: str, watch: Any, student: Any = None) -> dict[str, torch.Tensor]:
    world = digits(0, small=True)
    if student is not None:
        world = recast(world, new_student=student)
    return state(fit(start(registry.get(method)(), world, 0, device="cpu"), 5, watch=watch))


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("method", ["kd", "crd", "dml", "pkt"])
@pytest.mark.parametrize("student", [None, Noisy])
def test_looking_at_gradients_leaves_a_run_as_it_is_to_the_last_bit(method: str, student: Any) -> None:
    looked: list[dict[str, float]] = []
    watched = trained(method, lambda run, batch, _: looked.append(gradients.pulls(run, batch)), student)
    assert same(watched, trained(method, None, student))
    assert len(looked) == 5 and all(math.isfinite(v) for one in looked for v in one.values()) and looked[-1]
    if student is not None:  # a look that puts nothing back is one that this test sees
        assert not same(watched, trained(method, lambda run, batch, _: run["student"](batch.x), student))


def test_gradients_by_hand() -> None:
    net = nn.Linear(2, 1, bias=False)

    class Two:
        name = "two"

        def loss(self, run: Any, batch: Batch) -> dict[str, torch.Tensor]:
            out = run["student"](batch.x).mean()
            return {"three": 3 * out, "one": out, "none": torch.ones(())}

    run: Any = Run(
        Two(), digits(0, small=True), 0, nn.ModuleDict({"student": net}), {}, {"student": torch.optim.SGD(net.parameters())}
    )  # type: ignore[arg-type]
    found = gradients.pulls(run, Batch(x=torch.tensor([[3.0, 4.0]])))
    assert found == pytest.approx({"three": 15, "one": 5, "none": 0})
    assert net.weight.grad is None
    at, shares = pictures.pulled([{"step": 0, "loss/a": 1.0}, {"step": 7} | {f"grad/{k}": v for k, v in found.items()}])
    assert at == [7] and {k: float(v[0]) for k, v in shares.items()} == {"none": 0, "one": 0.25, "three": 0.75}


@pytest.mark.parametrize(("steps", "every"), [(1, 1), (20, 1), (900, 4), (10**6, 5000)])
def test_looks_are_few(steps: int, every: int) -> None:
    between = gradients.apart(steps, every)
    assert between % every == 0 and between >= gradients.APART and -(-steps // between) <= gradients.TIMES


def test_calls_are_timed_in_turns_and_the_first_ones_do_not_count() -> None:
    order: list[str] = []
    times = costs.in_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")})
    assert order == ["a", "b"] * (costs.WARM + costs.CALLS) and [len(t) for t in times.values()] == [costs.CALLS] * 2


def test_a_slow_call_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr(costs.time, "perf_counter", lambda: float(next(clock)))
    calls: list[int] = []
    assert costs.in_turns({"slow": lambda: calls.append(1)}) == {"slow": [1000.0]} and len(calls) == 2


def test_what_networks_cost(tmp_path: Path) -> None:
    from understudy.export.onnx import export_onnx

    small, large = nn.Linear(4, 3).train(), nn.Sequential(nn.Linear(4, 400), nn.Linear(400, 3))
    x = torch.rand(5, 4)
    export_onnx(small, x, tmp_path / "small.onnx")
    small.train()
    made = costs.timings({"small": small, "large": large}, {"small": x, "large": x}, {"small": tmp_path / "small.onnx"})
    assert [(t.runtime, t.batch) for t in made["small"]] == [
        ("PyTorch", 1),
        ("ONNX Runtime", 1),
        ("PyTorch", 64),
        ("ONNX Runtime", 64),
    ]
    assert all(0 < t.low <= t.median <= t.high and t.calls > 0 for own in made.values() for t in own)
    assert small.training
    assert costs.flops(lambda: small(x[:1])) == 2 * 4 * 3
    lstm = nn.LSTM(4, 8, batch_first=True)
    assert costs.flops(lambda: lstm(torch.rand(1, 6, 4))) == 6 * 2 * (4 + 8) * 4 * 8
    assert costs.flops(lambda: 1 / 0) is None and costs.flops(x.sum) is None


def test_weights_have_a_hash_that_tells_them_apart() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    first = origin.weights(net)
    assert len(first) == 32 and origin.weights(net) == first
    net[1].running_mean[2] += 1e-7
    assert origin.weights(net) != first
    assert origin.weights(nn.Linear(2, 2).bfloat16()) != first
    assert origin.weights(nn.ReLU()) == ""
    said = torch.rand(3)
    assert (
        origin.origin("abc", said, teacher=nn.ReLU())["teacher answers"]
        == origin.digest({"out": said})
        != origin.digest({"out": -said})
    )
    assert "teacher answers" not in origin.origin("abc", said, teacher=net)
    assert len(origin.code()) == 32 and origin.code() == origin.code()
    assert set(origin.origin("abc", teacher=net, student_alone=None)) - {"commit"} == {"data rows", "teacher weights", "code"}


NOW = {"task": "classify", "metric": "accuracy"}


def leave(runs: Path, name: str, score: float, at: int, rows: str = "r", **other: Any) -> None:
    folder = runs / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"rows": rows}))
    student = {"name": "tiny", "score": score, "bytes": 100, "latency_ms": 0.5}
    (folder / "findings.json").write_text(
        json.dumps({"task": "classify", "metric": "accuracy", "method": {"name": "kd"}, "student": student} | other)
    )
    os.utime(folder / "findings.json", (at, at))


def test_earlier_runs_are_those_on_the_same_rows_and_what_is_broken_is_left_out(tmp_path: Path) -> None:
    for i in range(5):
        leave(tmp_path, f"run{i}", 0.9 + i / 100, i)
    leave(tmp_path, "other rows", 0.5, 9, rows="s")
    leave(tmp_path, "other task", 0.5, 9, task="regress")
    leave(tmp_path, "no student", 0.5, 9, student=None)
    leave(tmp_path, "not a number", math.nan, 9)
    (tmp_path / "no summary").mkdir()
    (tmp_path / "a file").write_text("x")
    leave(tmp_path, "cut", 0.5, 9)
    (tmp_path / "cut" / "findings.json").write_text('{"task": "class')
    (tmp_path / "odd" / "findings.json").mkdir(parents=True)
    found = earlier(tmp_path / "run2", "r", NOW)
    assert [e.run for e in found] == ["run4", "run3", "run1", "run0"]
    assert found[0] == Earlier("run4", "kd", "tiny", 0.9 + 4 / 100, 100, 0.5)
    assert [e.run for e in earlier(tmp_path / "new", "r", NOW, most=2)] == ["run4", "run3"]
    assert earlier(tmp_path / "nowhere" / "run", "r", NOW) == []


def test_language_models_compare_where_the_text_is_cut_alike(tmp_path: Path) -> None:
    def heard(tokens: int) -> dict[str, Any]:
        return {
            "heard": {"student": {"name": "s", "nll": math.log(8), "bytes": 9, "speed": 50.0}},
            "tokens": {"test": tokens},
            "method": "gkd",
        }

    leave(tmp_path, "same", 0, 1, **heard(7))
    leave(tmp_path, "another tokenizer", 0, 1, **heard(8))
    (found,) = earlier(tmp_path / "now", "r", heard(7))
    assert (found.run, found.method, found.score, found.slow) == ("same", "gkd", pytest.approx(8), 0.02)


def test_a_curve_as_a_table_is_short_and_keeps_its_ends() -> None:
    history = [{"step": i, "loss/hard": float(i)} for i in range(100)] + [{"step": 100, "valid": 0.5}]
    head, rows = curves(history, lambda v: f"{v:.1f}")
    assert list(head) == ["step", "hard", "validation"] and rows == [("100", "99", "0.5")]
    head, rows = curves(history[:-1], str)
    assert len(rows) == 10 and rows[0][0] == "0" and rows[-1][0] == "99"


def test_the_command_in_a_report_makes_the_same_student_again(tmp_path: Path) -> None:
    how = "distill --teacher tiny-mlp --student tiny-cnn?width=2 --data digits --method dkd --set beta=2 --set training.epochs=1 --set training.batch=64"
    how += " --set teacher_training.epochs=1 --set data.limit=300 --set training.seed=3"
    told = []
    for folder in ("one", "other"):
        done = CliRunner().invoke(app, [*shlex.split(how), "--folder", str(tmp_path / folder)])
        assert done.exit_code == 0, done.output
        (found,) = (tmp_path / folder).glob("*/findings.json")
        told.append(json.loads(found.read_text()))
        how = told[-1]["command"].removeprefix("understudy ")
    first, again = (t["origin"] for t in told)
    assert {k for k in first if first[k] != again[k]} <= {"code", "commit"}  # which an editor may have changed in between
    assert len(first["student weights"]) == 32
    assert first["student weights"] != first["student alone weights"]
    page = next((tmp_path / "other").glob("*/report.html")).read_text()
    assert first["student weights"] in page and first["data rows"] in page and "What an answer costs" in page
    points = [json.loads(line) for line in next((tmp_path / "other").glob("*/metrics.jsonl")).read_text().splitlines()]
    assert {"grad/hard", "grad/target", "grad/rest"} <= {k for p in points for k in p}
