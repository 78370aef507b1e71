"""Whether anything piles up: many short runs in one process, and one long one. Memory, tensors, files, threads; and the same bits at the end as at the start.

    python benchmarks/soak.py runs                      1,000 short runs of the main job
    python benchmarks/soak.py steps                     one run of 100,000 steps
    nice -n 10 python benchmarks/soak.py runs --out benchmarks/results/soak.json

A short run is `understudy.distill` on 96 handwritten digits with all that belongs to it: doctor, checkpoints, report with its pictures, model card; every
ninth writes its ONNX file too, which takes longer than all the rest. Ten different ones (a method and a seed) come in turn, and all of a kind must leave the
same student, byte for byte. Their folders are deleted as they are done, or the report of the last would compare it with 999 others. The long run is the
core's own loop on the digits world, judged and saved on the way; it is gone on with from its middle, and its beginning is done once more after its end:
both must come to the same bits.

Every so often memory is read after a collection of garbage: MB resident, tensors that Python knows of, open files, threads. The slope is a straight line's
through the means of ten stretches of the last nine tenths, since one reading hangs on the one before, with a 95 % interval of Student's t.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import hashlib
import itertools
import json
import math
import os
import platform
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unittest import mock

import torch

METHODS = ("kd", "dkd", "rkd", "fitnet", "dist")
KINDS = [(method, seed) for seed in (0, 1) for method in METHODS]
ONNX = 9  # of so many runs one writes it, in turn another kind
T8 = 2.306  # Student's t, 8 degrees of freedom, 97.5 %
Reading = dict[str, float]


def reading() -> Reading:
    """Of this process, now. Threads are the system's, not only Python's."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    live = [o for o in gc.get_objects() if issubclass(type(o), torch.Tensor)]  # isinstance would wake lazy modules
    return {"mb": round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 2), "tensors": len(live),
            "files": len(os.listdir("/proc/self/fd")) - 1, "threads": len(os.listdir("/proc/self/task"))}  # fmt: skip


def slope(at: list[int], values: list[float]) -> tuple[float, float]:
    """What is added at a step, and the half-width of its 95 % interval."""
    keep = len(at) // 10
    at, values = at[keep:], values[keep:]
    size = len(at) // 10
    x, y = ([statistics.fmean(v[i * size : (i + 1) * size]) for i in range(10)] for v in (at, values))
    mean_x, mean_y = statistics.fmean(x), statistics.fmean(y)
    spread = sum((a - mean_x) ** 2 for a in x)
    b = sum((a - mean_x) * (c - mean_y) for a, c in zip(x, y, strict=True)) / spread
    rest = sum((c - mean_y - b * (a - mean_x)) ** 2 for a, c in zip(x, y, strict=True))
    return b, T8 * math.sqrt(rest / 8 / spread)


def digest(parts: Iterable[bytes]) -> str:
    made = hashlib.blake2b(digest_size=8)
    for part in parts:
        made.update(part)
    return made.hexdigest()


def weights(net: torch.nn.Module) -> str:
    return digest(t.contiguous().view(-1).view(torch.uint8).numpy().tobytes() for t in net.state_dict().values())


def runs(count: int, every: int, tell: Any = print) -> dict[str, Any]:
    """Short runs, and what they left. `students` counts the different files of each kind: 1 of each, if all is well."""
    import understudy
    from understudy.config import Training
    from understudy.core.errors import Refused

    seen: dict[str, set[str]] = {}
    at, readings = [], []

    def leave_out(*_: Any) -> float:
        raise Refused("left out of this run")

    with tempfile.TemporaryDirectory() as folder:
        for i, (method, seed) in zip(range(count), itertools.cycle(KINDS)):
            with mock.patch("understudy.publish.export_onnx", leave_out) if i % ONNX else contextlib.nullcontext():
                job = understudy.distill("tiny-cnn", "tiny-cnn?width=2", "digits", method, limit=96, epochs=2, seed=seed, alone=False, folder=folder,
                                         quiet=True, training=Training(checkpoints=2, judgements=2))  # fmt: skip
            for made in job.folder.glob("student.*"):
                seen.setdefault(f"{method} {seed} {made.suffix}", set()).add(digest([made.read_bytes()]))
            shutil.rmtree(job.folder)
            del job
            if (i + 1) % every == 0:
                at, readings = [*at, i + 1], [*readings, reading()]
                tell(i + 1, readings[-1])
    return {"runs": count, "students": {k: len(v) for k, v in seen.items()}} | summary(at, readings, 1000, "mb_a_thousand_runs")


def steps(count: int, every: int, tell: Any = print, again: int = 1000, small: bool = False) -> dict[str, Any]:
    """One long run, the second half of it once more from its checkpoint, and its first `again` steps once more. small: of few rows, and a
    teacher as small as the student, which has learned nothing."""
    from understudy.core import checkpoint, registry
    from understudy.core.fit import fit
    from understudy.core.run import Run, start
    from understudy.core.world import Player, sgd
    from understudy.parts.schedule import cosine
    from understudy.worlds.digits import digits

    world = digits(0, ready=not small, small=small, steps=count, player=Player(sgd(0.05, 0.9, 5e-4), cosine(count)))
    if small:
        world.given_teacher = world.student()
    begin = lambda: start(registry.get("kd")(), world, 0, device="cpu")
    first: list[str] = []
    at, readings = [], []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)

        def after(run: Run) -> None:
            if run.step == again:
                first.append(weights(run["student"]))
            if run.step == count // 2:
                checkpoint.write(run, folder / "middle")
            if run.step % every == 0:
                run.judge()
                checkpoint.write(run, folder / "all")
                at.append(run.step)
                readings.append(reading())
                tell(run.step, readings[-1])

        run = fit(begin(), after=after)
        saved = checkpoint.latest(folder / "middle")
        assert saved is not None
        resumed = fit(checkpoint.restore(begin(), saved))
        repeated = fit(begin(), again)
        bits = {"resumed_from_the_middle": weights(resumed["student"]) == weights(run["student"]),
                f"first_{again}_steps_once_more": weights(repeated["student"]) == first[0]}  # fmt: skip
    return {"steps": count, "same_bits": bits} | summary(at, readings, 100_000, "mb_a_hundred_thousand_steps")


def summary(at: list[int], readings: list[Reading], unit: int, name: str) -> dict[str, Any]:
    told: dict[str, Any] = {"first": readings[0] | {"at": at[0]}, "last": readings[-1] | {"at": at[-1]}}
    for k in ("mb", "tensors"):
        if len(at) >= 20:
            b, half = slope(at, [r[k] for r in readings])
            told[name if k == "mb" else name.replace("mb", k)] = {
                "slope": round(b * unit, 3),
                "plus_or_minus": round(half * unit, 3),
            }
    return told | {"readings": [[n, *r.values()] for n, r in zip(at, readings, strict=True)]}


def write(out: Path, what: str, told: dict[str, Any]) -> None:
    """Into the file, one reading a line."""
    known = json.loads(out.read_text()) if out.exists() else {}
    known[what] = told
    tables = []
    for name, table in known.items():
        rest = "".join(f"  {json.dumps(k)}: {json.dumps(v)},\n" for k, v in table.items() if k != "readings")
        lines = ",\n".join(f"   {json.dumps(r)}" for r in table["readings"])
        tables.append(f' {json.dumps(name)}: {{\n{rest}  "readings": [\n{lines}\n  ]\n }}')
    out.write_text("{\n" + ",\n".join(tables) + "\n}\n")


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("what", choices=("runs", "steps"))
    ask.add_argument("--count", type=int, default=0, help="1,000 runs or 100,000 steps when left out")
    ask.add_argument("--every", type=int, default=0, help="runs or steps between readings; a hundredth of all")
    ask.add_argument("--out", type=Path)
    how = ask.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    count = how.count or {"runs": 1000, "steps": 100_000}[how.what]
    begun, cpu = time.perf_counter(), time.process_time()
    told = (runs if how.what == "runs" else steps)(count, how.every or max(1, count // 100), lambda *a: print(*a, flush=True))
    told = {"command": f"python benchmarks/soak.py {how.what}" + (f" --count {how.count}" if how.count else ""),
            "readings_are": "after so many: MB resident, tensors, files, threads", "minutes": round((time.perf_counter() - begun) / 60, 1),
            "cpu_minutes": round((time.process_time() - cpu) / 60, 1),
            "environment": {"torch": torch.__version__, "python": platform.python_version(), "threads": torch.get_num_threads()}} | told  # fmt: skip
    if how.out:
        write(how.out, how.what, told)
    print(json.dumps({k: v for k, v in told.items() if k != "readings"}, indent=1))


if __name__ == "__main__":
    main()
