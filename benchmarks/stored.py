"""What a teacher costs a student's epoch: none, answers in memory, answers in a folder, asked online. In turn, round by round, on one thread.

    python benchmarks/stored.py --rounds 9 --out benchmarks/results/stored.json

Pixels are random, since their values cost nothing: 28 x 28 as in MNIST, and the 8 x 8 of digits, where a step is so short that the
loss itself shows.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path

import torch

from understudy import methods
from understudy.core.fit import fit
from understudy.core.method import freeze
from understudy.core.run import start
from understudy.core.world import recast
from understudy.models.tiny import NETS
from understudy.teachers import Encoding, Recorded, Stored, label
from understudy.worlds.digits import Part
from understudy.worlds.rows import Rows


class Splits:
    def __init__(self, n: int, side: int) -> None:
        g = torch.Generator().manual_seed(0)
        self.train = self.valid = self.test = Part(
            torch.rand(n, 1, side, side, generator=g), torch.randint(0, 10, (n,), generator=g)
        )


def net(name: str, side: int, **changes: int) -> torch.nn.Module:
    make, _, settings = NETS[name]
    return make((1, side, side), 10, **(settings | changes))


def problem(side: int, n: int, batch: int, rounds: int) -> dict[str, object]:
    data, teacher = Splits(n, side), net("cnn", side).eval()
    world = Rows(data=data, batch=batch, new_student=lambda: net("tiny-cnn", side), given_teacher=teacher, steps=n // batch)
    begun = time.perf_counter()
    stored = Stored(freeze(teacher), data.train.x.split(256))
    labelling = time.perf_counter() - begun
    folder = tempfile.mkdtemp()
    label(freeze(teacher), data.train.x.split(256), folder, Encoding("float32"), batch=256)
    kept = Recorded(folder)
    kinds = {
        "alone": lambda: start(methods.alone(), world, device="cpu"),
        "stored": lambda: start(methods.kd(), recast(world, teacher=lambda: stored), device="cpu"),
        "folder": lambda: start(methods.kd(), recast(world, teacher=lambda: kept), device="cpu"),
        "online": lambda: start(methods.kd(), world, device="cpu"),
    }
    seconds: dict[str, list[float]] = {k: [] for k in kinds}
    for i in range(rounds + 1):  # the first warms up
        for kind, begin in kinds.items():
            run = begin()
            begun = time.perf_counter()
            fit(run)
            if i:
                seconds[kind].append(time.perf_counter() - begun)
    over = {k: sorted(a / b for a, b in zip(seconds[k], seconds["alone"], strict=True)) for k in kinds}
    quartiles = {
        k: [round(r[len(r) // 4], 3), round(statistics.median(r), 3), round(r[-1 - len(r) // 4], 3)] for k, r in over.items()
    }
    print(f"{side}x{side}, {n} rows, batch {batch}: over an epoch without a teacher {quartiles}", flush=True)
    return {"rows": n, "batch": batch, "side": side, "ms_a_step_alone": round(1000 * statistics.median(seconds["alone"]) / (n // batch), 3),
            "over_alone": quartiles, "labelling_seconds": round(labelling, 3)}  # fmt: skip


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--rounds", type=int, default=9)
    ask.add_argument("--out", type=Path)
    args = ask.parse_args()
    torch.set_num_threads(1)
    result = {
        "what": "seconds of an epoch over one without a teacher; lower quartile, median, upper quartile of rounds",
        "command": f"python benchmarks/stored.py --rounds {args.rounds}",
        "problems": [problem(28, 6400, 128, args.rounds), problem(8, 3200, 32, args.rounds)],
        "torch": torch.__version__, "python": platform.python_version(), "threads": 1,
    }  # fmt: skip
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
