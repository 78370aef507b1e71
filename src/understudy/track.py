"""A run's figures where a team keeps them: TensorBoard, MLflow, Weights & Biases and Trackio, through Accelerate's trackers.

Nothing leaves the machine unless the trackers' own variables (MLFLOW_TRACKING_URI, WANDB_MODE) say so: everything is written under
the run's folder, in `tracking`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy.core.errors import nearest, refuse
from understudy.core.files import write_atomically
from understudy.kept import table, understood

if TYPE_CHECKING:
    from understudy.job import Job

PROJECT = "understudy"
PHASES = ("teacher", "student", "alone")
# name -> the modules that it needs, and what installs them
TRACKERS: dict[str, tuple[tuple[str, ...], str]] = {
    "tensorboard": (("tensorboard",), "'understudy[track]'"),
    "mlflow": (("mlflow", "sqlalchemy", "alembic"), "'understudy[track]'"),
    "wandb": (("wandb",), "'understudy[track]'"),
    "trackio": (("trackio",), "trackio"),
}
NOT_FOUND = ("config", "settings", "environment", "history")  # parts of findings that aren't findings


def named(given: str | Sequence[str]) -> tuple[str, ...]:
    """Names of trackers, once each: of 'mlflow,wandb' or of a sequence. Raises `Refused` where one isn't known."""
    if not isinstance(given, (str, list, tuple)):
        raise refuse("track", given, f"names with commas, or a list: {', '.join(TRACKERS)}")
    words = given.split(",") if isinstance(given, str) else given
    names = tuple(dict.fromkeys(str(w).strip() for w in words if str(w).strip()))
    for name in names:
        if name not in TRACKERS:
            raise refuse("track", name, f"{', '.join(TRACKERS)}{nearest(name, TRACKERS)}")
    return names


def ready(names: Sequence[str]) -> None:
    """Raises `Refused` with the command that installs it where a tracker isn't."""
    for name in names:
        modules, package = TRACKERS[name]
        for module in modules:
            if importlib.util.find_spec(module) is None:
                raise refuse("track", name, f"a tracker that is installed here ({module} isn't)", f"pip install {package}")


@contextlib.contextmanager
def tracking(job: Job) -> Iterator[Tracking]:
    """The trackers that a job's configuration names, open inside; none in any process but the first."""
    told = Tracking(job.folder / "tracking", job.config.track if job.world.rank == 0 else (), job.folder.name)
    about = flat({"run": str(job.folder), "config": job.config.to_dict(), "rows": job.data.fingerprint()})
    told.begin({k.removeprefix("config."): v if isinstance(v, (int, float, str)) else str(v) for k, v in about.items()})
    how = "FAILED"
    try:
        yield told
        how = "FINISHED"
    except KeyboardInterrupt:
        how = "KILLED"
        raise
    finally:
        told.end(how)


class Tracking:
    """The open trackers of a run: `told(phase, step, values)` tells all of them; one that fails is warned of, once, and left out.

    What was told before a run was stopped is not told again when it is resumed: `state.json` remembers the trackers' own names for
    the run, how often they were told something, and the last step of every figure.
    """

    def __init__(self, folder: Path, names: Sequence[str], run: str) -> None:
        self.folder, self.names, self.run = folder, names, run
        self.open: dict[str, Any] = {}
        self.ids: dict[str, str] = {}
        self.last: dict[str, int] = {}
        self.times = 0
        self._after = contextlib.ExitStack()
        state = folder / "state.json"
        if names and state.exists():
            with understood(state, "what trackers were told", "it is damaged: delete it, and they are told anew"):
                kept = table(state)
                self.ids = {str(k): str(v) for k, v in kept["ids"].items()}
                self.last = {str(k): int(v) for k, v in kept["last"].items()}
                self.times = int(kept["times"])

    def begin(self, about: dict[str, Any]) -> None:
        """Open them, and tell new ones what the run is. Raises `Refused` where one can't be opened."""
        if not self.names:
            return
        from understudy.core import devices

        devices.accelerator()  # the trackers ask it which process this is
        for name in self.names:
            try:
                with _quiet():
                    self.open[name], known = OPEN[name](self), self.ids.get(name)
                    self.open[name].start()
                    self.ids[name] = ID[name](self.open[name])
                    if known is None:
                        self.open[name].store_init_configuration(about)
            except Exception as e:
                self.open.pop(name, None)
                self.end("FAILED")
                raise refuse("track", name, f"a tracker that can be opened ({_why(e)})", "mend that, or leave it out") from e
        self._remember()

    def __call__(self, phase: str, step: int, values: dict[str, float]) -> None:
        fresh = {k: v for k, v in ((f"{phase}/{k}", v) for k, v in values.items()) if step > self.last.get(k, -1)}
        if not self.open or not fresh:
            return
        self._tell(fresh, step, f"{phase}/step")
        self.last |= dict.fromkeys(fresh, step)
        self._remember()

    def found(self, findings: Any) -> None:
        """The figures of a finished run, by their names in findings.json, as `found/student/score` and the like."""
        if self.open and findings is not None:
            figures = flat({"found": json.loads(findings.to_json())}, NOT_FOUND, by="/")
            self._tell({k: v for k, v in figures.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}, 0)
            self._remember()

    def end(self, how: str) -> None:
        """Close them; how: FINISHED, FAILED or KILLED."""
        for name in list(self.open):
            with self._spared(name):
                END.get(name, lambda tracker, how: tracker.finish())(self.open[name], how)
        self.open.clear()
        self._after.close()

    def _tell(self, values: dict[str, float], step: int, of: str = "") -> None:
        for name in list(self.open):
            with self._spared(name):
                if name == "wandb":  # its own step only rises, and ours begins again with every phase
                    self.open[name].log(values | ({of: step} if of else {}), step=self.times)
                else:
                    self.open[name].log(values, step=step)
        self.times += 1

    @contextlib.contextmanager
    def _spared(self, name: str) -> Iterator[None]:
        """A tracker's failure is not the run's."""
        try:
            yield
        except Exception as e:
            self.open.pop(name, None)
            warnings.warn(f"{name} failed and is told nothing more of this run: {_why(e)}", stacklevel=2)

    def _remember(self) -> None:
        write_atomically(self.folder / "state.json", json.dumps({"ids": self.ids, "times": self.times, "last": self.last}) + "\n")


def flat(tree: dict[str, Any], leave: Sequence[str] = (), by: str = ".") -> dict[str, Any]:
    """{'a': {'b': 1}} -> {'a.b': 1}, without what has one of the names in `leave`."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if key not in leave:
            leaves |= {f"{key}{by}{k}": v for k, v in flat(value, leave, by).items()} if isinstance(value, dict) else {key: value}
    return leaves


# one by one -----------------------------------------------------------------------------------------------------------------------


def _tensorboard(told: Tracking) -> Any:
    from accelerate.tracking import TensorBoardTracker

    return TensorBoardTracker("tensorboard", told.folder)


def _mlflow(told: Tracking) -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when it is imported
    import mlflow
    from accelerate.tracking import MLflowTracker

    artefacts = None
    if not mlflow.is_tracking_uri_set():
        artefacts = (told.folder / "mlflow").absolute()
        artefacts.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(f"sqlite:///{artefacts}/mlflow.db")
        told._after.callback(mlflow.set_tracking_uri, None)  # the next run has a folder of its own
        artefacts = artefacts.as_uri()
    return MLflowTracker(PROJECT, artefacts, run_id=told.ids.get("mlflow"), run_name=told.run)


def _wandb(told: Tracking) -> Any:
    mode = os.environ.get("WANDB_MODE", "offline")
    if mode == "offline":
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    for place in ("CACHE", "CONFIG", "DATA"):
        os.environ.setdefault(f"WANDB_{place}_DIR", str((told.folder / "wandb" / place.lower()).absolute()))
    import wandb
    from accelerate.tracking import WandBTracker

    class Phased(WandBTracker):  # type: ignore[misc]
        """Each phase has steps of its own."""

        def start(self) -> None:
            super().start()
            for phase in PHASES:
                self.run.define_metric(f"{phase}/*", step_metric=f"{phase}/step")

    silent = wandb.Settings(silent=mode == "offline", console="off", disable_git=True, disable_code=True, save_code=False)
    told.folder.mkdir(parents=True, exist_ok=True)
    return Phased(os.environ.get("WANDB_PROJECT", PROJECT), dir=str(told.folder), name=told.run, mode=mode, resume="allow",
                  id=told.ids.get("wandb", uuid.uuid4().hex[:8]), settings=silent)  # fmt: skip


def _trackio(told: Tracking) -> Any:
    os.environ.setdefault("TRACKIO_DIR", str((told.folder / "trackio").absolute()))
    from accelerate.tracking import TrackioTracker

    return TrackioTracker(PROJECT, name=told.run, resume="allow")


def _end_mlflow(_: Any, how: str) -> None:
    import mlflow

    mlflow.end_run(how)


OPEN: dict[str, Callable[[Tracking], Any]] = {
    "tensorboard": _tensorboard,
    "mlflow": _mlflow,
    "wandb": _wandb,
    "trackio": _trackio,
}
ID: dict[str, Callable[[Any], str]] = {"tensorboard": lambda t: t.run_name, "mlflow": lambda t: t.tracker.info.run_id,
                                       "wandb": lambda t: t.tracker.id, "trackio": lambda t: t.run_name}  # fmt: skip
END: dict[str, Callable[[Any, str], None]] = {
    "mlflow": _end_mlflow,
    "wandb": lambda t, how: t.tracker.finish(exit_code=int(how != "FINISHED")),
}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What trackers say and warn of while they open is of their own code: nothing a user can mend."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _why(e: Exception) -> str:
    return f"{type(e).__name__}: {' '.join(str(e).split())[:200]}"
