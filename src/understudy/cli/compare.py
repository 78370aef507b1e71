"""understudy compare"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from typer import Option

from understudy.cli.settings import WHAT, setting
from understudy.cli.shared import Answer, bars, complete_methods, waiting
from understudy.config import Config
from understudy.core.errors import nearest, refuse

EXAMPLES = ("understudy compare --methods kd,dkd,dist --seeds 5",
            "understudy compare --methods 'kd,kd?t=2,kd?t=8' --data folder:pets --epochs 20")  # fmt: skip
PANEL = "Comparison"


def compare(
    config: Config,
    *,
    methods: Annotated[
        str,
        Option(
            help="Two or more, the first one the reference; fields behind a question mark: kd?t=2&a=0.5.",
            autocompletion=complete_methods,
            rich_help_panel=WHAT,
        ),
    ],
    world: Annotated[
        str | None,
        Option(
            help="A built-in problem such as digits, with a teacher of its own for each seed; the default where neither --teacher, --student, "
            "--data nor --config is given.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    seeds: Annotated[
        int, Option(min=2, help="Trainings of each method; the same for all, so differences are paired.", rich_help_panel=PANEL)
    ] = 5,
    steps: Annotated[int | None, Option(min=1, help="Updates of each student, instead of epochs.", rich_help_panel=PANEL)] = None,
    split: Annotated[
        Literal["valid", "test"],
        Option(help="Rows to score on. Whoever chooses by the test rows can't trust their score.", rich_help_panel=PANEL),
    ] = "valid",
) -> Answer:
    """Compare methods fairly: same rows, same budget, same seeds.

    Differences to the first method come with their 95 % intervals. Nothing is written but the weights of a teacher that had to be trained, so that the next job needn't."""
    chosen = {text: _method(text) for text in dict.fromkeys(m.strip() for m in methods.split(",")) if text}
    if len(chosen) < 2:
        raise refuse("--methods", methods, "two methods or more, separated by commas")
    with bars() as bar, tempfile.TemporaryDirectory() as folder:
        place, about = _place(config, world, steps, Path(folder), bar)
        scores, seconds = _scores(chosen, place, seeds, split, config.training.precision, bar)
    first = next(iter(scores))
    from understudy.prove import interval

    rows = [{"method": name, "mean": statistics.mean(s), "scores": s, "seconds": round(statistics.mean(seconds[name]), 2),
             "difference": None if name == first else interval([a - b for a, b in zip(s, scores[first], strict=True)])} for name, s in scores.items()]  # fmt: skip
    data = about | {"split": split, "seeds": list(range(seeds)), "reference": first, "methods": rows}
    return Answer(data, _view(data))


def _method(text: str) -> Any:
    """`kd?t=2&a=0.5` -> KD(t=2.0, a=0.5)."""
    from understudy.core import registry

    name, _, query = text.partition("?")
    fields = dict(setting(f"method.{pair}", name) for pair in query.split("&") if pair)
    return registry.build({"name": name} | {path.partition(".")[2]: value for path, value in fields.items()})


def _place(
    config: Config, world: str | None, steps: int | None, folder: Path, bar: Callable[[str, int, int], None]
) -> tuple[Callable[[int], Any], dict[str, Any]]:
    """The problem as a function of the seed, and what is to be said about it."""
    import dataclasses

    from understudy.config import to_toml
    from understudy.core.world import recast
    from understudy.parts.schedule import cosine
    from understudy.worlds import WORLDS

    def budget(place: Any) -> Any:
        return recast(place, steps=steps, player=dataclasses.replace(place.player, schedule=cosine(steps))) if steps else place

    own = to_toml(dataclasses.replace(config, method=Config().method, folder=Config().folder)) != to_toml(Config())
    if world is not None or not own:
        world = world or "digits"
        if own:
            raise refuse(
                "--world",
                world,
                "a problem of its own, without options for teacher, student, rows or budget",
                "leave --world out, or give --steps",
            )
        if world not in WORLDS:
            raise refuse("--world", world, f"one of {', '.join(WORLDS)}{nearest(world, WORLDS)}")
        make, name = WORLDS[world], world
        of = lambda seed: budget(make(seed, ready=True))
        sample = make(0)
        updates = steps or sample.steps
        return of, {"problem": name, "metric": sample.metric, "updates": updates}
    with waiting("loading …"):
        from understudy.job import plan

        job = plan(config, folder=folder)
    job.teach(bar)
    base = budget(job.world)
    about = {
        "problem": f"{config.student} from {config.teacher} on {job.data.name}",
        "metric": base.metric,
        "updates": base.steps,
    }
    return lambda seed: recast(base, seed=seed), about


def _scores(chosen: dict[str, Any], place: Callable[[int], Any], seeds: int, split: str, precision: str,
            bar: Callable[[str, int, int], None]) -> tuple[dict[str, list[float]], dict[str, list[float]]]:  # fmt: skip
    """In memory: nothing is written. The last weights count, not the best ones."""
    from understudy.core.fit import fit
    from understudy.core.run import start
    from understudy.core.world import recast

    scores: dict[str, list[float]] = {k: [] for k in chosen}
    seconds: dict[str, list[float]] = {k: [] for k in chosen}
    for name in chosen:
        bar(name, 0, seeds)
    for seed in range(seeds):
        world = recast(place(seed), split=split)
        for name, method in chosen.items():
            begun = time.perf_counter()
            run = fit(start(method, world, seed, precision=precision))
            seconds[name].append(time.perf_counter() - begun)
            scores[name].append(run.worth(split))
            bar(name, seed + 1, seeds)
    return scores, seconds


def _view(data: dict[str, Any]) -> Group:
    rows, first = data["methods"], data["reference"]
    from understudy.report.shares import is_share

    share = all(is_share(data["metric"], s) for r in rows for s in r["scores"])

    def score(v: float) -> str:
        return f"{100 * v:.1f} %" if share else f"{v:.3f}"

    def difference(v: float) -> str:
        return f"{100 * v:+.1f}" if share else f"{v:+.3f}"

    best = max(r["mean"] for r in rows)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for title in ("method", data["metric"], "worst to best", f"difference to {first}", "95 % interval", "", "a run"):
        table.add_column(title, justify="left" if title in ("method", "") else "right", overflow="fold")
    for r in rows:
        d, top = r["difference"], r["mean"] == best
        told = (
            ("", "")
            if d is None
            else ("can't tell", "dim")
            if d["low"] == d["high"]  # equal differences tell nothing of their spread
            else ("better", "green")
            if d["low"] > 0
            else ("worse", "red")
            if d["high"] < 0
            else ("can't tell", "dim")
        )
        table.add_row(Text(("★ " if top else "  ") + r["method"], "bold green" if top else "bold"), Text(score(r["mean"]), "bold green" if top else "cyan"),
                      Text(f"{score(min(r['scores']))} – {score(max(r['scores']))}", "dim"), "reference" if d is None else difference(d["mean"]),
                      "" if d is None else f"{difference(d['low'])} to {difference(d['high'])}", Text(*told), Text(f"{r['seconds']:.1f} s", "dim"))  # fmt: skip
    unit = " · differences in points" if share else ""
    about = f"{data['problem']} · {data['updates']:,} updates · {len(data['seeds'])} seeds, paired · scored on the {'test' if data['split'] == 'test' else 'validation'} rows{unit}"
    parts: list[RenderableType] = [table, Text(about, "dim")]
    if data["split"] == "test":
        parts.append(Text("! test rows: who picks a method by this table must not quote its score", "yellow"))
    return Group(*parts)
