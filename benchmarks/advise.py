"""Does the advice help? Without a search beside plain kd at t=4 on six problems, with one beside a full grid on a small one.

    python benchmarks/advise.py rules --data <folder of data sets> --seeds 5 --out benchmarks/results/advise.json
    python benchmarks/advise.py search --out benchmarks/results/advise_search.json

Both sides have the same teacher, rows, first student, order of rows, learning rate and number of updates; the method's settings are all that
differs. The test rows are asked once a training, by its last weights. What was measured is kept after every problem and seed, so a run that
was stopped goes on. Rules were fixed before any test row of these was looked at; what they were made from is said in `docs/guide/advise.md`.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from real import cifar, mnist, sentences, tabular, training

from understudy.advice import Advice, counsel
from understudy.advice.search import method, search
from understudy.config import Config, Rows, Training
from understudy.core.files import write_atomically
from understudy.core.fit import fit
from understudy.core.registry import build
from understudy.core.run import start
from understudy.core.world import World, recast
from understudy.job import Job, plan, player
from understudy.prove import interval
from understudy.teachers import Stored

PLAIN = {"name": "kd", "t": 4.0, "a": 0.9}


@dataclass(frozen=True)
class Problem:
    address: Callable[[Path, Path], str]
    teacher: str
    student: str
    training: Training
    teacher_training: Training
    about: str
    limit: int
    target: str = ""
    text: str = ""


PROBLEMS = {
    "digits": Problem(lambda data, work: "digits", "cnn", "tiny-cnn?width=2", Training(epochs=30), Training(epochs=15), "all of scikit-learn's digits", 0),
    "mnist": Problem(mnist, "cnn", "tiny-cnn?width=4", training(8, 64), training(4, 64), "2,000 pictures", 2000),
    "cifar10": Problem(cifar, "resnet", "tiny-resnet?width=4", training(6, 64), training(6, 64), "1,000 pictures", 1000),
    "sst2": Problem(sentences(train="stsa.binary.train", valid="stsa.binary.dev", test="stsa.binary.test"), "text-cnn", "tiny-bilstm?width=16",
                    training(6, 64), training(4, 64), "2,000 sentences, liked or not", 2000, "label", "text"),
    "landsat": Problem(tabular("19_landsat.npz"), "sklearn:gradient-boosting", "tiny-mlp?width=16", training(30, 64), training(1), "2,000 rows of 36 numbers", 2000),
    "campaign": Problem(tabular("5_campaign.npz"), "sklearn:gradient-boosting", "tiny-mlp?width=16", training(20, 64), training(1),
                        "4,000 rows of 62 numbers: did a customer say yes", 4000),
}  # fmt: skip


def planned(name: str, data: Path, work: Path, teachers: Path) -> tuple[Job, Advice]:
    """A problem's job, its teacher taught, and what is advised for it."""
    p = PROBLEMS[name]
    config = Config(teacher=p.teacher, student=p.student, data=Rows(p.address(data, work), target=p.target, text=p.text, limit=p.limit), method=PLAIN,
                    training=p.training, teacher_training=p.teacher_training, folder=str(teachers))  # fmt: skip
    advice = counsel(config, chosen=True, proofs=Path("proofs"))
    job = plan(config)
    job.teach()
    return job, advice


def asked_once(job: Job, *taps: str) -> World:
    """The job's world with what the teacher says about its training rows kept, which gives the same bits."""
    x = job.world.data.train.x
    stored = Stored(job.teacher, [x[i : i + 256] for i in range(0, len(x), 256)], taps) if isinstance(x, torch.Tensor) else None
    if stored is None:
        return job.world
    views = {k: v for k, v in job.world.views.items() if k != "teacher"}
    return recast(job.world, teacher=lambda: stored, views=views)


def scored(world: World, settings: dict[str, Any], seed: int, split: str) -> float:
    return fit(start(build(settings), recast(world, seed=seed), seed, device="cpu")).worth(split)


def rules(args: argparse.Namespace) -> None:
    kept: dict[str, Any] = json.loads(args.out.read_text())["problems"] if args.out.exists() else {}
    for name in args.only:
        with tempfile.TemporaryDirectory() as work:
            job, advice = planned(name, args.data, Path(work), args.work)
        found = kept.setdefault(name, {"advised": [], "plain": [], "seconds": 0.0})
        same = found.setdefault("method", advice.method) == advice.method
        if not same:
            raise SystemExit(f"{name}: {args.out} was measured with {found['method']}, and the rules now say {advice.method}")
        p = PROBLEMS[name]
        found |= {"about": p.about, "teacher": p.teacher, "student": p.student, "seen": dataclasses.asdict(advice.situation) | {"entropy": None},
                  "updates": job.world.steps, "metric": job.world.metric}  # fmt: skip
        world = asked_once(job)
        for seed in range(len(found["plain"]), args.seeds):
            begun = time.perf_counter()
            found["advised"].append(scored(world, advice.method, seed, "test"))
            found["plain"].append(scored(world, PLAIN, seed, "test"))
            found["seconds"] = round(found["seconds"] + time.perf_counter() - begun, 1)
            told(found)
            save(args, kept)
        print(name, found["method"], found.get("verdict"), flush=True)


def told(found: dict[str, Any]) -> None:
    differences = [a - b for a, b in zip(found["advised"], found["plain"], strict=True)]
    if len(differences) > 1:
        effect = interval(differences)
        found["effect"] = effect
        found["verdict"] = f"{100 * effect['mean']:+.1f} ± {100 * (effect['high'] - effect['mean']):.1f} points"


def save(args: argparse.Namespace, kept: dict[str, Any]) -> None:
    effects = {k: v["effect"] for k, v in kept.items() if "effect" in v}
    write_atomically(args.out, json.dumps({
        "command": f"python benchmarks/advise.py rules --data <folder> --seeds {args.seeds}", "plain": PLAIN,
        "better_on_average": sum(e["mean"] > 0 for e in effects.values()), "better_beyond_the_interval": sum(e["low"] > 0 for e in effects.values()),
        "worse_beyond_the_interval": sum(e["high"] < 0 for e in effects.values()), "problems_measured": len(effects),
        "versions": {"torch": torch.__version__, "python": platform.python_version()}, "problems": kept}, indent=1) + "\n")  # fmt: skip


def searched(args: argparse.Namespace) -> None:
    """digits: a grid over method, temperature, weight of the labels and learning rate, and searches at a tenth of what it costs."""
    config = Config(
        student="tiny-cnn?width=2", training=Training(epochs=3), teacher_training=Training(epochs=15), folder=str(args.work)
    )
    job = plan(config)
    job.teach()
    world, kept = (
        asked_once(job, "penultimate", "stage:-1"),
        json.loads(args.out.read_text()) if args.out.exists() else {"grid": {}, "searches": {}},
    )
    points = [{"t": t, "a": a, "rate": r, "beside": b, "ratio": 0.3} for t, a, r, b in itertools.product(
        (1.0, 2.0, 4.0, 8.0), (0.5, 0.9), (0.5, 1.0, 2.0, 4.0), ("none", "rkd", "sp", "fitnet"))]  # fmt: skip
    for point in points:
        key = json.dumps(point)
        if key not in kept["grid"]:
            own = dataclasses.replace(config.training, lr=config.training.lr * point["rate"])
            run = fit(start(build(method(point, world, 0)), recast(world, player=player(own, world.steps)), 0, device="cpu"))
            kept["grid"][key] = {"valid": run.worth("valid"), "test": run.worth("test")}
            write_atomically(args.out, json.dumps(kept, indent=1) + "\n")
    best = max(kept["grid"].values(), key=lambda v: v["valid"])
    cost = len(points) / 10
    for seed in range(args.seeds):
        if str(seed) not in kept["searches"]:
            with tempfile.TemporaryDirectory() as folder:
                first = [{"t": 4.0, "a": 0.9, "rate": 1.0, "beside": "none"}]
                found = search(config, lambda _: world, cost, Path(folder), first=first, seed=seed)
            kept["searches"][str(seed)] = {"valid": found.valid, "test": found.test, "spent": found.spent, "trials": found.trials, "stopped": found.stopped,
                                           "settings": found.settings}  # fmt: skip
            write_atomically(args.out, json.dumps(kept, indent=1) + "\n")
    kept |= {
        "command": "python benchmarks/advise.py search", "updates": world.steps, "points": len(points), "best_of_grid": best,
        "cost_of_a_search": f"{cost:.1f} of {len(points)} full trainings",
        "share_of_the_best_valid": [s["valid"] / best["valid"] for s in kept["searches"].values()],
        "share_of_the_best_test": [s["test"] / best["test"] for s in kept["searches"].values()],
        "error_over_the_best_valid": [(1 - s["valid"]) / max(1 - best["valid"], 1e-9) for s in kept["searches"].values()],
        "mean_of_grid_valid": statistics.mean(v["valid"] for v in kept["grid"].values()),
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
    }  # fmt: skip
    write_atomically(args.out, json.dumps(kept, indent=1) + "\n")


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("what", choices=["rules", "search"])
    ask.add_argument("--data", type=Path)
    ask.add_argument("--only", nargs="*", default=list(PROBLEMS), choices=list(PROBLEMS))
    ask.add_argument("--seeds", type=int, default=5)
    ask.add_argument("--work", type=Path, default=Path("runs"), help="where teachers are kept")
    ask.add_argument("--out", type=Path, required=True)
    args = ask.parse_args()
    torch.set_num_threads(1)
    (rules if args.what == "rules" else searched)(args)


if __name__ == "__main__":
    main()
