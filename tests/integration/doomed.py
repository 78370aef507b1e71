"""What the children of `forked` do, little enough to be done, killed and done again many times."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import understudy.export.ship
import understudy.prove
import understudy.publish
import understudy.report.costs
import understudy.report.html
from understudy.cli.prove import _one
from understudy.config import Config, Rows, Training
from understudy.core.files import write_atomically
from understudy.core.world import recast
from understudy.job import plan, resume
from understudy.report.costs import Timing
from understudy.worlds.digits import digits

GRAPH = b"a graph, as its exporter would have written it" * 400
BRIEF = Training(epochs=2, batch=32, lr=0.02, checkpoints=5, judgements=4, clip=1.0)


def brief(home: Path, **how: Any) -> Config:
    """A dozen steps of teacher, student and student alone."""
    return Config(teacher="tiny-cnn?width=8", student="tiny-cnn?width=3", data=Rows(limit=200), method={"name": "kd"},
                  training=BRIEF, teacher_training=BRIEF, folder=str(home), **how)  # fmt: skip


def hurry() -> None:
    """Without what takes long and is tested elsewhere: tracing a network, running it many times, drawing a report."""

    def exported(_net: Any, _rows: Any, path: Any) -> float:
        write_atomically(path, GRAPH)
        return 0.0

    understudy.publish.export_onnx = exported
    understudy.export.ship.export_onnx = exported
    understudy.report.costs.timings = lambda nets, *_: dict.fromkeys(nets, (Timing("PyTorch", 1, 1.0, 1.0, 1.0, 1),))
    understudy.report.html.write_report = lambda *_: None


def doomed(do: Callable[[Path], None]) -> Callable[..., None]:
    """The same, with SIGKILL at the n-th of the calls that make a file safe (it is half-written, or written and not in its place, or just
    replaced); says at the end how many there were."""

    @functools.wraps(do)
    def done(home: str, n: int = -1) -> None:
        made = 0

        def or_dies(real: Callable[..., Any], *given: Any, **how: Any) -> Any:
            nonlocal made
            if made == n:
                os.kill(os.getpid(), signal.SIGKILL)
            made += 1
            return real(*given, **how)

        for name in ("fsync", "replace", "unlink"):
            setattr(os, name, functools.partial(or_dies, getattr(os, name)))
        hurry()
        do(Path(home))
        print("calls", made)

    return done


@doomed
def distil(home: Path) -> None:
    """Begin a run, or go on with it."""
    folder = home / "run"
    (resume(folder) if (folder / "config.json").exists() else plan(brief(home), folder=folder)).run()


@doomed
def export(home: Path) -> None:
    """Of a finished run: weights, a graph, a folder."""
    job = resume(home / "run").finished()
    for name in ("out.safetensors", "out.onnx", "out"):
        if not (home / name).is_dir():
            job.export(home / name)


@doomed
def prove(home: Path) -> None:
    """kd, in little: a world without a trained teacher, two steps, a single seed to choose on."""
    where = digits(0)
    understudy.prove.world = lambda _where, seed: recast(where, seed=seed, steps=2, batch=8)
    understudy.prove.TUNING = (1000,)
    result = _one("kd", 2, folder=home / "proofs")
    assert isinstance(result, dict), result
    understudy.prove.publish(result, home / "proofs")
