"""A search with a budget: method, temperature, weights, learning rate and student, by Optuna, with whoever lags behind stopped early.

What it costs is counted in full trainings: a trial that was stopped after a third of its updates is a third. Everything it knows stands in
its folder (`journal.log`, JSON, one line an event), so a search that was stopped goes on and ends as it would have. It sees the validation
rows only; the test rows are asked once, by the best, at the end.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy.advice.situation import access
from understudy.config import Config
from understudy.core import checkpoint, registry
from understudy.core.errors import NotFinite, Refused, refuse
from understudy.core.files import write_atomically
from understudy.core.fit import fit, sourced
from understudy.core.run import Run, artefact, start
from understudy.core.seeds import key, stream
from understudy.kept import table, understood

if TYPE_CHECKING:
    from understudy.core.method import Method
    from understudy.core.world import World

RUNGS = (9, 3)  # after a ninth and a third of the updates, the worse two thirds of those that came as far are stopped
COMPANIONS = ("rkd", "sp", "pkt", "fitnet", "at")  # what looks into the teacher, beside kd
DRAWN = 8  # trials before the sampler draws on what it saw


@dataclass(frozen=True)
class Space:
    """What is searched: what stands beside kd ('none' among it), students by address, and around which learning rate."""

    companions: tuple[str, ...]
    students: tuple[str, ...]
    lr: float


@dataclass(frozen=True)
class Found:
    """The best of a search. valid, test: its scores in the task's metric. spent: full trainings that were paid for; trials, of which
    stopped early; settings: the best's own."""

    config: Config
    valid: float
    test: float
    spent: float
    trials: int
    stopped: int
    settings: dict[str, Any]


def search(config: Config, place: Callable[[str], World], trainings: float, folder: Path, *, students: Sequence[str] = (),
           first: Sequence[dict[str, Any]] = (), seed: int = 0, bar: Callable[[str, int, int], None] = lambda *_: None) -> Found:  # fmt: skip
    """The best configuration that so many full trainings find.

    place: the world of a student's address, its teacher taught. students: addresses to choose from, the configuration's own where there are
    none. first: settings to begin with (`t`, `a`, `rate` times the learning rate, `beside`, `ratio`, `student`; what is missing is drawn). seed: of what is drawn. folder: where it is kept.
    Raises `Refused` where less than one training is given, or the folder holds another search.
    """
    from understudy.data.address import need

    if trainings < 1:
        raise refuse("search", trainings, "1 full training or more")
    optuna: Any = need("optuna", "'understudy[search]'")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    place = functools.lru_cache(maxsize=4)(place)
    offered = tuple(students) or (config.student,)
    space = Space(companions(*map(place, offered)), offered, config.training.lr)
    _settle(folder, {"config": config.to_dict(), "space": dataclasses.asdict(space), "first": list(first), "seed": seed})
    study = _study(optuna, folder, place(config.student).steps)
    _take_up(optuna, study, first)
    while spent(study) + 1 <= trainings or not study.best_trials:
        done = sum(t.state.is_finished() and t.state.name != "FAIL" for t in study.trials)
        if done >= 100 * trainings:  # trials that cost next to nothing: nothing here can be trained
            break
        study.sampler = optuna.samplers.TPESampler(seed=key(seed, "search", done) % 2**32, n_startup_trials=DRAWN)
        bar("search", min(int(spent(study)), int(trainings)), int(trainings))
        _try(optuna, study, config, space, place, folder)
    bar("search", int(trainings), int(trainings))
    return _best(study, config, space, place, folder)


def spent(study: Any) -> float:
    """Full trainings that a study has paid for."""
    return float(sum(t.user_attrs.get("spent", 0.0) for t in study.trials))


def companions(*worlds: World) -> tuple[str, ...]:
    """'none', and every method that can be learned from beside kd in all of these worlds: the loss of its first step is taken there."""
    found = ["none"]
    how = {access(teacher) for w in worlds if (teacher := w.teacher()) is not None}
    for name in () if "answers" in how else COMPANIONS:
        if "stored" in how and "stages" in registry.get(name)().taps().get("teacher", ()):
            continue  # several tensors under one name, which a composition can't take from a store
        try:
            for world in worlds:
                balance([{"name": "kd"}, {"name": name}], world, 0)
        except Refused:  # no maps, another task, not stored
            continue
        found.append(name)
    return tuple(found)


def method(settings: dict[str, Any], world: World, seed: int) -> dict[str, Any]:
    """The method of some settings: kd, or kd and a companion whose pull at the student's first weights is `ratio` times that of kd's soft
    term."""
    kd = {"name": "kd", "t": settings["t"], "a": settings["a"]}
    if settings.get("beside", "none") == "none":
        return kd
    parts = [kd, {"name": settings["beside"]}]
    weight = settings["ratio"] * balance(parts, world, seed)
    return {"name": "compose", "methods": parts, "weights": [1.0, float(f"{weight:.3g}")], "schedules": ["constant", "constant"]}


def balance(parts: Sequence[dict[str, Any]], world: World, seed: int) -> float:
    """The weight at which the second method's terms pull as strongly at a fresh student as the first one's soft ones: a ratio of gradient
    norms on the rows of the first step; 1 where either doesn't pull."""
    from understudy.report.gradients import pulls

    run = start(registry.build({"name": "compose", "methods": list(parts)}), world, seed, device="cpu")
    with stream(seed, "balance"):
        found = pulls(run, sourced(run))
    norm = lambda name: sum(v * v for k, v in found.items() if k.startswith(f"{name}.")) ** 0.5
    one, other = (norm(p["name"]) for p in parts)
    return one / other if one > 0 and other > 0 else 1.0


def _study(optuna: Any, folder: Path, steps: int) -> Any:
    journal = optuna.storages.journal
    storage = optuna.storages.JournalStorage(journal.JournalFileBackend(str(folder / "journal.log")))
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=max(1, steps // RUNGS[0]), reduction_factor=3)
    return optuna.create_study(study_name="search", storage=storage, load_if_exists=True, direction="maximize", pruner=pruner)


def _take_up(optuna: Any, study: Any, first: Sequence[dict[str, Any]]) -> None:
    """A trial that was under way when a search was stopped is tried again, from its start."""
    for t in study.trials:
        if t.state.name == "RUNNING":
            study.tell(t.number, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(t.user_attrs.get("settings") or t.params)
    if not study.trials:
        for settings in first:
            study.enqueue_trial(settings)


def _suggest(trial: Any, space: Space) -> dict[str, Any]:
    made = {
        "t": trial.suggest_float("t", 1, 16, log=True),
        "a": trial.suggest_float("a", 0.3, 1),
        "lr": space.lr * trial.suggest_float("rate", 0.25, 4, log=True),
    }
    made["beside"] = trial.suggest_categorical("beside", space.companions) if len(space.companions) > 1 else "none"
    if made["beside"] != "none":
        made["ratio"] = trial.suggest_float("ratio", 0.03, 3, log=True)
    made["student"] = trial.suggest_categorical("student", space.students) if len(space.students) > 1 else space.students[0]
    return made | {k: float(f"{made[k]:.3g}") for k in ("t", "a", "lr")}


def _as(config: Config, settings: dict[str, Any], made: dict[str, Any]) -> Config:
    return dataclasses.replace(
        config, student=settings["student"], method=made, training=dataclasses.replace(config.training, lr=settings["lr"])
    )


def _started(config: Config, settings: dict[str, Any], place: Callable[[str], World]) -> tuple[Run, Config]:
    from understudy.core.world import recast
    from understudy.job import player

    world, seed = place(settings["student"]), config.training.seed
    own = _as(config, settings, method(settings, world, seed))
    built: Method = registry.build(own.method)
    return start(built, recast(world, player=player(own.training, world.steps)), seed, device="cpu"), own


def _try(optuna: Any, study: Any, config: Config, space: Space, place: Callable[[str], World], folder: Path) -> None:
    trial, state = study.ask(), optuna.trial.TrialState
    settings = _suggest(trial, space)
    trial.set_user_attr("settings", dict(trial.params))
    run, _ = _started(config, settings, place)
    steps = run.world.steps
    try:
        for rung in sorted({max(1, steps // r) for r in RUNGS} | {steps}):
            fit(run, rung)
            score = run.world.validate(artefact(run))
            trial.report(score, rung)
            if rung < steps and trial.should_prune():
                trial.set_user_attr("spent", rung / steps)
                study.tell(trial, state=state.PRUNED)
                return
    except NotFinite:
        trial.set_user_attr("spent", run.step / steps)
        study.tell(trial, state=state.PRUNED)
        return
    trial.set_user_attr("spent", 1.0)
    if not study.best_trials or score > study.best_value:
        checkpoint.write(run, folder / "best" / f"trial-{trial.number}")  # before it is told, so that whatever is best is there
    study.tell(trial, score)


def _best(study: Any, config: Config, space: Space, place: Callable[[str], World], folder: Path) -> Found:
    best = study.best_trial
    run, own = _started(config, _suggest(_Fixed(best.params), space), place)
    kept = folder / "best" / f"trial-{best.number}"
    saved = checkpoint.latest(kept)
    run = checkpoint.restore(run, saved) if saved is not None else fit(run)
    for other in (folder / "best").glob("trial-*"):
        if other != kept:
            shutil.rmtree(other)
    ended = [t.state.name for t in study.trials]
    return Found(own, best.value, run.world.score(artefact(run)), spent(study), len(ended) - ended.count("FAIL"), ended.count("PRUNED"),
                 dict(best.params))  # fmt: skip


class _Fixed:
    """A trial whose settings are known."""

    def __init__(self, params: dict[str, Any]) -> None:
        self.params = params

    def suggest_float(self, name: str, *_: Any, **__: Any) -> float:
        return float(self.params[name])

    def suggest_categorical(self, name: str, _: Any) -> Any:
        return self.params[name]


def _settle(folder: Path, about: dict[str, Any]) -> None:
    """Write down what is searched, or see that the folder holds this very search."""
    path, now = folder / "search.json", json.loads(json.dumps(about))
    if not path.exists():
        write_atomically(path, json.dumps(now, indent=1) + "\n")
        return
    with understood(path, "what a search is about", "name another folder"):
        kept = table(path)
    if kept != now:
        raise refuse("search.folder", str(folder), "a new folder, or one of a search for the same", "name another folder")
