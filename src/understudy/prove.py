"""Does a method help, and because of the teacher? Paired over seeds, on a world that it is proved in, published as it comes out.

Protocol. Method and baseline each choose among four settings on the validation split of seeds that the proof doesn't use: those of
the card's `tune`, or, for who has none, four learning rates. Then, on fresh seeds, both train from the same initial student on the
same rows in the same order for the same number of updates, and the last weights are scored once on the test split. The placebo is
the method with its teacher's answers shifted by one row within each batch: what is gained from those wasn't learned from the teacher.
The published default is among a card's four; the other three were laid around values seen on validation rows while the method was
written, a look that its baseline didn't get.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import math
import platform
import shutil
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core import registry
from understudy.core.batch import each
from understudy.core.errors import NotFinite, refuse
from understudy.core.files import sweep, write_atomically
from understudy.core.fit import fit
from understudy.core.method import Method
from understudy.core.run import start
from understudy.core.world import Player, World, recast
from understudy.data.address import whole
from understudy.kept import table, understood

TUNING = (1000, 1001, 1002)  # seeds to choose on
RATES = (0.5, 1.0, 2.0, 4.0)  # of the world's learning rate, for a side that has nothing else to choose


def _before(rows: Tensor) -> Tensor:
    return rows.roll((1,), (0,))


class Placebo(nn.Module):
    """The teacher, answering about the row before; [N, ...] -> [N, ...]"""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *x: Any) -> Any:
        return self.inner(*(each(v, _before) for v in x))

    def write(self, prompt: Any, more: int, *args: Any, **how: Any) -> Tensor:
        """What it writes after the prompt before, behind each row's own prompt where a text begins with it."""
        said: Tensor = self.inner.write(each(prompt, _before), more, *args, **how)  # type: ignore[operator]
        own = prompt["input_ids"] if isinstance(prompt, dict) else prompt
        return torch.cat([own, said[:, own.shape[1] :]], 1) if said.shape[1] == own.shape[1] + more else said


@dataclasses.dataclass(frozen=True)
class Side:
    """One contestant: a configured method and its factor of the learning rate."""

    method: str  # Method.config() as JSON, so that sides can be told apart and remembered
    rate: float = 1.0
    placebo: bool = False


def sides(method: Method) -> list[Side]:
    """The four settings that this contestant may choose from."""
    tune = method.card.tune
    if not tune:
        return [Side(json.dumps(method.config()), rate) for rate in RATES]
    ((field, values),) = tune.items()
    return [Side(json.dumps(dataclasses.replace(method, **{field: v}).config())) for v in values]  # type: ignore[type-var]


def baseline_of(method: Method) -> Method:
    """Another method, or this one with its idea switched off."""
    against = method.card.baseline
    if isinstance(against, str):
        return registry.get(against)()
    assert isinstance(against, Mapping), f"'{method.name}' has no baseline to be beaten"
    return dataclasses.replace(method, **against)  # type: ignore[type-var, no-any-return]


def baseline_sides(method: Method) -> list[Side]:
    """The baseline's four settings; of one whose tuned field is what switches the idea off, four learning rates."""
    against, off = method.card.baseline, baseline_of(method)
    if isinstance(against, Mapping) and set(method.card.tune) & set(against):
        return [Side(json.dumps(off.config()), rate) for rate in RATES]
    return sides(off)


Where = tuple[str, str]  # a world's name, and the path of its real data or ""


@functools.lru_cache(maxsize=4)  # a proof goes through the seeds one by one
def world(where: Where, seed: int) -> World:
    from understudy.rehearsal import stage

    return stage(where[0], seed, where[1] or None)


@functools.cache
def outcome(where: Where, side: Side, seed: int, split: str) -> float:
    """The score of one training; of one that diverged, that of its last finite weights. Cached, since baselines are shared."""
    place = recast(world(where, seed), split=split)
    if side.placebo:
        teacher = place.teacher()
        assert teacher is not None
        place = recast(place, teacher=lambda: Placebo(teacher))
    run = start(registry.build(json.loads(side.method)), place, seed, device="cpu")
    if side.rate != 1:
        run.players = {name: faster(how, side.rate) for name, how in run.players.items()}
    with contextlib.suppress(NotFinite):
        fit(run)
    return run.worth(split)


def faster(how: Player, rate: float) -> Player:
    """A player at another learning rate."""
    return dataclasses.replace(how, schedule=lambda step: rate * (how.schedule(step) if how.schedule else 1.0))


Scores = Callable[[Where, Side, int, str], float]


def chosen(where: Where, candidates: list[Side], scored: Scores = outcome) -> Side:
    """The best of the candidates on the validation split of the tuning seeds."""
    return max(candidates, key=lambda side: statistics.mean(scored(where, side, seed, "valid") for seed in TUNING))


@dataclasses.dataclass
class Kept:
    """Outcomes in a folder, a file each, so that a proof that was stopped goes on from there. A file is known by all that its score
    hangs on: world and data, side, seed, split, this package's code and the versions below it. seconds: that those found there took."""

    folder: Path
    seconds: float = 0.0

    def __call__(self, where: Where, side: Side, seed: int, split: str) -> float:
        told = {
            "world": where[0],
            "data": _stamp(where[1]),
            **dataclasses.asdict(side),
            "seed": seed,
            "split": split,
            "code": _code(),
            **_versions(),
        }
        path = self.folder / f"{hashlib.blake2b(json.dumps(told).encode(), digest_size=16).hexdigest()}.json"
        if path.exists():
            with understood(path, "the outcome of a training"):
                kept = table(path)
                score, seconds = float(kept["score"]), float(kept["seconds"])
            self.seconds += seconds
            return score
        begun = time.perf_counter()
        score = outcome(where, side, seed, split)
        write_atomically(path, json.dumps(told | {"score": score, "seconds": time.perf_counter() - begun}) + "\n")
        return score


@functools.cache
def _code() -> str:
    """Of every line that a score may hang on."""
    root, digest = Path(__file__).parent, hashlib.blake2b(digest_size=16)
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


@functools.cache
def _stamp(data: str) -> list[list[Any]]:
    """Real data, by the names, sizes and times of its files."""
    files = sorted(p for p in [Path(data), *Path(data).rglob("*")] if p.is_file()) if data else []
    return [[str(p), p.stat().st_size, p.stat().st_mtime_ns] for p in files]


def _versions() -> dict[str, str]:
    return {"torch": torch.__version__, "python": platform.python_version()}


def interval(differences: list[float]) -> dict[str, float]:
    """Mean and its 95 % interval by Student's t."""
    from scipy.stats import t

    n, mean = len(differences), statistics.mean(differences)
    half = float(t.ppf(0.975, n - 1)) * statistics.stdev(differences) / math.sqrt(n) if n > 1 else math.inf
    return {"mean": mean, "low": mean - half, "high": mean + half}


def told(effect: Mapping[str, float], place: World) -> str:
    """`+1.2 ± 0.4 points` of a share, `+0.031 ± 0.012 energy distance` of what isn't one."""
    half = effect["high"] - effect["mean"]
    if place.share:
        return f"{100 * effect['mean']:+.1f} ± {100 * half:.1f} points"
    return f"{effect['mean']:+.3g} ± {half:.2g} {place.metric}"


def prove(name: str, seeds: int = 10, say: Any = lambda *_: None, data: str = "", kept: Path | None = None) -> dict[str, Any]:
    """Run the protocol; the result is what `proofs/<name>.json` holds. say(done, of) is told how far it is. data: the path of real
    data for the method's world, where that can read some. kept: a folder where the outcome of each training is kept, and found again if
    the proof is stopped and begun once more (see `unfinished`)."""
    begun = time.perf_counter()
    method, seeds = registry.get(name)(), whole("seeds", seeds, 2, 10**6)
    if method.card.baseline is None:
        raise refuse(
            "method", method.name, "a method with a baseline to be better than", f"'{method.name}' is what others are measured by"
        )
    where = method.card.world, data
    scored: Scores = outcome if kept is None else Kept(kept)
    best, other = chosen(where, sides(method), scored), chosen(where, baseline_sides(method), scored)
    contestants = {"method": best, "baseline": other}
    if "teacher" in method.card.tags:
        contestants["placebo"] = dataclasses.replace(best, placebo=True)
    scores: dict[str, list[float]] = {k: [] for k in contestants}
    for seed in range(seeds):
        for k, side in contestants.items():
            scores[k].append(scored(where, side, seed, "test"))
        say(seed + 1, seeds)
    minus = lambda a, b: [x - y for x, y in zip(scores[a], scores[b], strict=True)]
    effect = interval(minus("method", "baseline"))
    teacher = interval(minus("method", "placebo")) if "placebo" in scores else None
    holds = effect["low"] > 0 and (teacher is None or teacher["low"] > 0)
    place = world(where, 0)
    verdict = f"{'holds' if holds else 'not reproduced at this scale'}: {told(effect, place)}" + (
        f"; over the placebo {told(teacher, place)}" if teacher else ""
    )
    return {
        "method": method.name,
        "world": where[0],
        "data": Path(data).name or "the world's own",
        "metric": place.metric,
        "share": place.share,
        "verdict": verdict,
        "holds": holds,
        "effect": effect,
        "over_placebo": teacher,
        "scores": scores,
        "seeds": list(range(seeds)),
        "chosen": {k: {"config": json.loads(s.method), "rate": s.rate} for k, s in contestants.items()},
        "tuning_seeds": list(TUNING),
        "labels": labels(place),
        "updates": place.steps,
        "seconds": round(time.perf_counter() - begun + getattr(scored, "seconds", 0.0), 1),
        "versions": _versions(),
        "command": f"understudy prove {method.name} --seeds {seeds}" + (f" --data {Path(data).name}" if data else ""),
    }


def labels(place: World) -> dict[str, int] | None:
    """How many labels there are to learn from, and how many are hidden (an object's class, where rows have objects; a pixel's, a word's);
    None where nobody labels anything. Of a stream, those of the source domain."""
    y = getattr(getattr(getattr(place, "data", None), "train", None), "y", None)
    y = y.get("labels") if isinstance(y, dict) else y
    if not isinstance(y, torch.Tensor):
        return None
    known = int((y >= 0).sum()) if not y.is_floating_point() else int(y.isfinite().sum())
    return {"known": known, "hidden": y.numel() - known}


def publish(result: dict[str, Any], folder: Path) -> Path:
    """Write a proof as it came out; what was kept on the way goes."""
    path = folder / f"{result['method'].replace('-', '_')}.json"
    sweep(path)
    write_atomically(path, json.dumps(result, indent=1) + "\n")
    kept = unfinished(folder, result["method"])
    shutil.rmtree(kept, ignore_errors=True)
    with contextlib.suppress(OSError):  # others are under way
        kept.parent.rmdir()
    return path


def unfinished(folder: Path, name: str) -> Path:
    """Where a proof that will be published in a folder keeps its outcomes until then."""
    return folder / ".unfinished" / name
