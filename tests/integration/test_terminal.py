"""What a person sees while a run goes on and when it ends, and what a log or a machine gets instead."""

from __future__ import annotations

import io
import json
import re
import types
from typing import Any

import pytest
import torch
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner

from understudy.cli import app
from understudy.core.batch import Batch
from understudy.job import worth
from understudy.report import progress
from understudy.report.findings import Findings, Measured, Recipe, Rows
from understudy.report.spoken import Heard, Spoken
from understudy.report.spoken import summary as spoken_summary
from understudy.report.terminal import summary

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def run(bars: progress.Bars, clock: Clock, steps: int = 40) -> None:
    """A phase of one second a step."""
    for step in range(steps + 1):
        bars.note("student", {"loss/hard": 0.5 / (step + 1), "loss/soft": 0.25, "grad/soft": 1.0}, 32, "rows")
        bars("student", step, steps)
        if step == 30:
            bars.note("student", {"valid accuracy": 0.971})
        clock.now += 1
    bars("student", steps, steps)


def test_a_log_gets_a_line_now_and_then() -> None:
    clock, out = Clock(), io.StringIO()
    with progress.bars(Console(file=out, width=40), clock=clock) as bars:
        run(bars, clock)
    assert out.getvalue().splitlines() == [
        "student  15/40  32 rows/s  0:25 left  hard 0.0312 · soft 0.25",
        "student  30/40  32 rows/s  0:10 left  hard 0.0161 · soft 0.25",
        "student  40/40  32 rows/s  took 0:40  hard 0.0122 · soft 0.25 · valid accuracy 97.1 %",
    ]
    silent = io.StringIO()
    with progress.bars(Console(file=silent), quiet=True, clock=clock) as bars:
        run(bars, clock)
    assert silent.getvalue() == ""


@pytest.mark.parametrize("width", [120, 80, 60])
def test_a_terminal_gets_bars_that_fit(width: int) -> None:
    clock, out = Clock(), io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, legacy_windows=False, _environ={})
    with progress.bars(console, clock=clock) as bars:
        for step in range(21):
            bars.note("student", {"loss/hard": 0.5, "loss/a-term-with-a-long-name": 0.25, "valid accuracy": 0.9}, 32, "rows")
            bars("student", step * 1000, 40_000)
            clock.now += 1
    lines = CONTROL.sub("", out.getvalue()).replace("\r", "\n").splitlines()
    last, said = [line for line in lines if line.strip()][-2:]
    assert max(map(cell_len, lines)) <= width
    assert re.match(r"student +[━╸╺ ]+ 20000/40000 32,000 rows/s 0:20 left", last), last
    assert said.startswith("student: hard 0.5 · a-term-with-a-long-name 0.25 · ")


def test_rates() -> None:
    clock = Clock()
    meter = progress.Meter("rows", clock)
    meter.at(0, 100)
    assert (meter.rate, meter.left) == ("", "")  # nothing is known yet
    clock.now = 20
    meter.at(2, 100)
    assert (meter.rate, meter.left) == ("0.1 steps/s", "16:20 left")
    for clock.now in range(21, 101):
        meter.at(2 + int(clock.now - 20), 100)
    assert meter.rate == "1 steps/s"  # of late
    clock.now = 500
    meter.at(100, 100)
    assert meter.left == "took 8:20"
    clock.now = 900
    assert meter.left == "took 8:20"  # and no longer
    of = lambda task, ranks: types.SimpleNamespace(world=types.SimpleNamespace(task=task, ranks=ranks))
    batch = Batch(x=torch.zeros(4, 3), y=torch.tensor([[1, 2, -1]] * 4))
    assert worth(of("lm", 2), batch) == (16, "tokens")
    assert worth(of("classify", 2), batch) == (8, "rows")


def findings(**more: Any) -> Findings:
    teacher, student, alone = (Measured("net", score, {"accuracy": score}, count, 4 * count, ms)
                               for score, count, ms in ((0.986, 412_000, 0.92), (0.969, 6_100, 0.07), (0.948, 6_100, 0.07)))  # fmt: skip
    return Findings("digits: [tiny] learns from big by kd", Recipe("kd", "L", "arXiv:1503.02531", {}), "classify", "accuracy", Rows("digits", {"test": 80}),
                    teacher, student, alone, 0.974, 12.0, {}, "understudy distill", **more)  # fmt: skip


def shown(view: Any, width: int, terminal: bool) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=terminal, _environ={}).print(view)
    return CONTROL.sub("", out.getvalue()).splitlines() if terminal else out.getvalue().splitlines()


@pytest.mark.parametrize("width", [120, 80, 60])
def test_the_summary_is_boxed_on_a_terminal(width: int, tmp_path: Any) -> None:
    (tmp_path / "student.onnx").touch()
    lines = shown(summary(findings(), tmp_path), width, True)
    assert {cell_len(line) for line in lines} <= {cell_len(lines[0])}
    assert cell_len(lines[0]) <= width
    assert lines[0].startswith("╭─ digits: [tiny] learns from big by kd ")
    parameters = "412,000 parameters" if width > 70 else "412k par."
    assert re.match(rf"│ teacher +98\.6 % +{parameters} +1\.65 MB +0\.92 ms", lines[1]), lines[1]
    assert "…" not in "".join(lines[1:])
    told = " ".join(" ".join(line.strip("│ ") for line in lines[1:-1]).split())
    assert "✔ kept 98.3 % of the teacher in 1.5 % of its size, 13x faster · agreement 97.4 %" in told


def test_the_summary_is_plain_in_a_pipe() -> None:
    lines = shown(summary(findings()), 160, False)
    assert lines[0].split() == ["teacher", "98.6", "%", "412,000", "parameters", "1.65", "MB", "0.92", "ms", "a", "row"]
    assert not set("".join(lines)) & set("╭│╰\x1b")


def test_language_models_fit_too() -> None:
    heard = {who: Heard(who, 2.0, 0.5, 0.02, 1_234_567, 4_938_268, 12_000.0) for who in ("teacher", "student")}
    found = Spoken(
        "texts: small learns from large by kd", "kd", "L", "arXiv:1503.02531", {}, "online", "texts", {}, {}, 0, heard, 0.9, 0.1
    )
    lines = shown(spoken_summary(found), 60, True)
    assert max(map(cell_len, lines)) <= 60
    assert re.match(r"│ teacher +ppl 7\.39 +1\.23M par\. +4\.94 MB +12,000 tok/s", lines[1]), lines[1]


SMALL = (
    "--teacher",
    "tiny-mlp",
    "--student",
    "tiny-mlp?width=8",
    "--epochs",
    "2",
    "--limit",
    "100",
    "--no-alone",
    "--set",
    "teacher_training.epochs=1",
)


def test_a_machine_gets_one_document_and_a_log_no_control_codes(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("understudy.checks.doctor", lambda job: [])
    result = CliRunner().invoke(app, ["distill", *SMALL, "--folder", str(tmp_path), "--json"], prog_name="understudy")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["findings"]["student"]["parameters"] > 0
    assert "\x1b" not in result.stderr
    assert "\r" not in result.stderr
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("student  "))
    assert re.match(
        r"student  6/6  [\d,]+ rows/s  took 0:\d\d  hard [\d.e-]+ · soft [\d.e-]+ · valid accuracy [\d.]+ %$", line
    ), line
