"""One of the processes that share all of the ordinary job: they label a folder together, learn from it and from the teacher itself, are stopped and go on.

accelerate launch [--use_fsdp --fsdp_version 2] ... launched.py FOLDER store [online]

FOLDER has the settings in job.toml; what each process learned from goes to rows.RANK.json, and what it opened for writing in runs to writes.RANK.json.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor
from typer.testing import CliRunner

import understudy.publish
import understudy.report.html
from understudy import config as configuration
from understudy.cli import app
from understudy.core import devices, sharding
from understudy.core.batch import Batch
from understudy.core.method import Method
from understudy.core.run import Run
from understudy.job import plan

STOP = 8  # a step at which nothing is saved


def u(*args: object) -> None:
    told = CliRunner().invoke(app, [str(a) for a in args], prog_name="understudy")
    assert told.exit_code == 0, told.output


def noting(rows: dict[str, list[list[int]]], name: list[str]) -> None:
    """From now on, the rows of each step go to the list of that name."""
    source = Method.source

    def noted(self: Method, run: Run) -> Batch:
        batch = source(self, run)
        rows.setdefault(name[0], []).append([run.step, *batch.row.tolist()])
        if sharding.wanted():
            assert all(isinstance(p, DTensor) for p in run["student"].parameters())
        return batch

    Method.source = noted  # type: ignore[method-assign]


def main(home: Path, signals: list[str]) -> None:
    torch.set_num_threads(1)
    understudy.publish.export_onnx = lambda *_: 0.0  # type: ignore[assignment]
    understudy.report.html.write_report = lambda *_: None  # type: ignore[assignment]
    place, settings, store = devices.accelerator(), home / "job.toml", f"store:{home / 'signals'}"
    assert place.num_processes == 2
    u("label", "--config", settings, "--out", home / "signals")
    place.wait_for_everyone()

    rows: dict[str, list[list[int]]] = {}
    name, opened = [""], list[str]()
    noting(rows, name)

    def opening(event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(args[0], str) and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR):
            opened.extend([args[0]] if args[0].startswith(str(home / "runs")) else [])

    sys.addaudithook(opening)
    for name[0] in signals:
        u(
            "distill",
            "--config",
            settings,
            "--folder",
            home / "runs",
            "--run-id",
            name[0],
            "--signal",
            store if name[0] == "store" else name[0],
        )

    def stop(phase: str, step: int, _: int) -> None:
        if (phase, step) == ("student", STOP):
            raise KeyboardInterrupt

    name[0] = "cut"
    given = configuration.read(settings) | {"signal": store, "folder": str(home / "runs")}
    try:
        plan(configuration.build(given), folder=home / "runs" / "cut").run(bar=stop)
    except KeyboardInterrupt:
        name[0] = "resumed"
    place.wait_for_everyone()
    u("resume", home / "runs" / "cut")
    (home / f"rows.{place.process_index}.json").write_text(json.dumps(rows))
    (home / f"writes.{place.process_index}.json").write_text(json.dumps(opened))
    place.wait_for_everyone()
    torch.distributed.destroy_process_group()
    os._exit(0)  # gloo's threads may outlive what they stand on, and abort a process that is done


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
