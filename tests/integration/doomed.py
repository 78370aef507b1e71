"""What the children of `forked` do, little enough to be done, killed and done again many times."""

from __future__ import annotations

import functools
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

import understudy.export.ship
import understudy.prove
import understudy.publish
import understudy.report.costs
import understudy.report.html
from understudy.cli.prove import _one
from understudy.config import Config, Rows, Training
from understudy.core import registry
from understudy.core.errors import Refused
from understudy.core.files import write_atomically
from understudy.core.fit import fit
from understudy.core.run import start
from understudy.core.world import recast
from understudy.job import plan, resume
from understudy.report.costs import Timing
from understudy.worlds.digits import Part, digits
from understudy.worlds.rows import Rows as World

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


# what is short of memory, or of a companion -----------------------------------------------------------------------------------------


def wide(path: str, parts: int, short: bool, name: str) -> None:
    """Two steps of 4,096 rows and 4,096 hidden units; short: with room for the activations of half of them."""
    rows, hidden = 4096, 4096

    class D:
        train = valid = test = Part(torch.randn(rows, 64), torch.arange(rows) % 10)

    def net(width: int) -> nn.Module:
        return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))

    torch.manual_seed(0)
    world = World(data=D(), batch=rows, parts=parts, steps=2, new_student=lambda: net(hidden), given_teacher=net(8))
    settings = {"student_at": "1", "teacher_at": "1"} if name == "rkd" else {}
    run = start(registry.build({"name": name, **settings}), world, 1, device="cpu")
    if short:
        used = int(
            next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData")).split()[1]
        )
        room = used * 1024 + 3 * rows * hidden * 4 - 10 * 2**20  # of the four that a step needs at once, a little less than three
        resource.setrlimit(resource.RLIMIT_DATA, (room, room))
    fit(run)
    save_file(dict(run.nets.state_dict()) | {"parts": torch.tensor(run.world.parts)}, f"{path}.safetensors")


def shared(home: str, dies: int) -> int:
    """One of two processes of a run; 2 where it was refused, as the command line would have it."""
    hurry()
    folder = Path(home) / "run"

    def bar(_phase: str, step: int, _steps: int) -> None:
        if step == dies:
            os.kill(os.getpid(), signal.SIGKILL)

    code = 0
    try:
        how = brief(Path(home), alone=False)
        (resume(folder) if (folder / "config.json").exists() else plan(how, folder=folder)).run(bar=bar)
    except Refused as e:
        print(e, flush=True)
        code = 2
    sys.stdout.flush()
    os._exit(code)  # gloo's threads may outlive what they stand on
