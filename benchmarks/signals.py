"""What each way of keeping a teacher's answers costs and is worth, and how fast a store is read.

    python benchmarks/signals.py encodings --seeds 10 --out benchmarks/results/signals_encodings.json
    python benchmarks/signals.py reading --rounds 5 --out benchmarks/results/signals_reading.json

encodings: the world of digits (100 training rows, a student of a thousand parameters). A student learns by kd (t=4), or by fitnet from kept
features, online and from the store; the difference on the test rows is paired over seeds. reading: rows of 1,000 logits in float32, in the
order they lie and at random, against the same file read plainly; cold means that the pages were dropped before.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from understudy import methods
from understudy.core.fit import fit
from understudy.core.run import start
from understudy.core.world import recast
from understudy.teachers import Encoding, Recorded, label
from understudy.teachers.places import Place
from understudy.teachers.shards import manifest
from understudy.teachers.stored import keys
from understudy.worlds import WORLDS

KINDS = [("float32", 0), ("float16", 0), ("int8", 0), ("hybrid", 4), ("samples", 50), ("samples", 10), ("top-k", 5), ("top-k", 2)]


def interval(values: list[float]) -> list[float]:
    """Mean and half the width of its 95 % interval by Student's t."""
    from scipy import stats

    half = stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return [round(statistics.mean(values), 3), round(half, 3)]


def taught(world: Any, method: Any, seed: int) -> float:
    return 100 * fit(start(method, world, seed, device="cpu")).worth("test")


def encodings(seeds: int) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = {}
    for name, method, t, taps in (("kd", methods.kd(), methods.kd().t, ()), ("fitnet", methods.fitnet(), 1.0, None)):
        taps = tuple(method.taps().get("teacher", ())) if taps is None else taps
        kinds = KINDS if name == "kd" else KINDS[:3]
        scores: dict[str, list[float]] = {}
        size: dict[str, float] = {}
        for seed in range(seeds):
            world = WORLDS["digits"](seed, ready=True)
            scores.setdefault("online", []).append(taught(world, method, seed))
            for kind, number in kinds:
                way = f"{kind} {number}" if number else kind
                with tempfile.TemporaryDirectory() as folder:
                    e = Encoding(kind, number, t=t if number else 1.0, seed=seed)
                    label(world.given_teacher, [b.x for b in world.sweep()], folder, e, taps=taps, batch=256)
                    size[way] = manifest(Place(folder))["bytes_a_row"]
                    stored = Recorded(folder)
                    scores.setdefault(way, []).append(taught(recast(world, given_teacher=stored), method, seed))
            print(name, seed, {k: round(v[-1], 1) for k, v in scores.items()}, flush=True)
        apart = {
            way: interval([a - b for a, b in zip(v, scores["online"], strict=True)])
            for way, v in scores.items()
            if way != "online"
        }
        found[name] = {"accuracy_online": round(statistics.mean(scores["online"]), 2), "taps": list(taps), "bytes_a_row": size,
                       "points_above_online": apart}  # fmt: skip
    return {"seeds": seeds, "methods": found}


def dropped(folder: Path) -> None:
    """Pages of these files leave the memory."""
    for path in folder.iterdir():
        with path.open("rb") as f:
            os.fsync(f.fileno())
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def timed(what: Callable[[], None]) -> float:
    begun = time.perf_counter()
    what()
    return time.perf_counter() - begun


def reading(rounds: int, rows: int = 50_000, classes: int = 1000, batch: int = 256) -> dict[str, Any]:
    x = torch.arange(rows * 2.0).reshape(rows, 2)
    net = torch.nn.Linear(2, classes)
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name)
        label(net, x.split(1024), folder, Encoding("float32"), batch=1024, shard=4096)
        size = manifest(Place(folder))["bytes"]
        order = {"in order": torch.arange(rows), "at random": torch.randperm(rows, generator=torch.Generator().manual_seed(0))}

        def plainly() -> None:
            for path in sorted(folder.glob("shard-*")):
                np.fromfile(path, dtype=np.uint8).max()

        def store(pick: torch.Tensor) -> None:
            held = Recorded(folder)
            for part in pick.split(batch):
                held(x[part])

        def unchecked(held: Recorded, pick: torch.Tensor) -> None:
            for part in pick.split(batch):
                held(x[part])

        ways: dict[str, Callable[[], None]] = {"plain file": plainly} | {
            f"store, {k}": lambda p=p: store(p) for k, p in order.items()
        }
        kept = Recorded(folder)
        unchecked(kept, order["in order"])
        seconds: dict[str, list[float]] = {}
        for _ in range(rounds):
            for way, read in ways.items():
                dropped(folder)
                seconds.setdefault(f"{way}, cold", []).append(timed(read))
                seconds.setdefault(f"{way}, warm", []).append(timed(read))
            for k, p in order.items():  # a second epoch: every checksum is known to hold
                seconds.setdefault(f"store, {k}, second epoch", []).append(timed(lambda p=p: unchecked(kept, p)))
            seconds.setdefault("keys of the rows alone", []).append(
                timed(lambda: [keys(part) for part in x.split(batch)] and None)
            )
        speed = {k: round(size / statistics.median(v) / 1e6) for k, v in seconds.items()}
        against = {k: round(statistics.median(a / b for a, b in zip(v, seconds[f"plain file, {'cold' if 'cold' in k else 'warm'}"], strict=True)), 2)
                   for k, v in seconds.items() if k.startswith("store")}  # fmt: skip
    print(speed, against, flush=True)
    return {"rows": rows, "classes": classes, "batch": batch, "bytes": size, "MB_a_second": speed, "times_a_plain_reading": against,
            "rows_a_second": {k: round(rows / statistics.median(v)) for k, v in seconds.items() if k.startswith("store")}}  # fmt: skip


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("what", choices=("encodings", "reading"))
    ask.add_argument("--seeds", type=int, default=10)
    ask.add_argument("--rounds", type=int, default=5)
    ask.add_argument("--out", type=Path)
    args = ask.parse_args()
    torch.set_num_threads(1)
    told = encodings(args.seeds) if args.what == "encodings" else reading(args.rounds)
    how = f"--seeds {args.seeds}" if args.what == "encodings" else f"--rounds {args.rounds}"
    result = {"what": (__doc__ or "").splitlines()[0], "command": f"python benchmarks/signals.py {args.what} {how}"} | told
    result |= {"torch": torch.__version__, "python": platform.python_version(), "threads": 1}
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
