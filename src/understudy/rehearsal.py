"""A method on a world of its own kind: the quickest way to see a published system run.

`understudy.rehearse("dmd2")` builds the world that the method's card names (or another one, or the same kind of world on real data),
trains there, and keeps what came of it. What a user's own models and rows need is `distill`; this is for kinds of learning that
aren't a model for a row: games, streams, curricula, data sets, whatever a world can be.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import nn

from understudy.core import registry
from understudy.core.errors import nearest, refuse
from understudy.core.files import write_atomically
from understudy.core.fit import fit
from understudy.core.method import Method
from understudy.core.run import Run, artefact, start
from understudy.core.world import World, recast
from understudy.data.address import whole
from understudy.report.gradients import noted

Say = Callable[[str, int, int], None]
POINTS = 200  # of a learning curve


@dataclass(frozen=True)
class Rehearsal:
    """What came of it: score is the run's worth on test rows in the world's metric, share whether that is a share of 1; history: the
    terms of the loss at some steps."""

    run: Run
    score: float
    seconds: float
    folder: Path | None
    world: str = ""
    history: list[dict[str, float]] = field(default_factory=list, repr=False)

    @property
    def told(self) -> dict[str, Any]:
        """Plain data for a file or a machine."""
        world = self.run.world
        return {"method": self.run.method.config(), "task": world.task, "metric": world.metric, "share": world.share,
                "score": self.score, "seed": self.run.seed, "updates": self.run.step, "seconds": round(self.seconds, 2),
                "observed": {str(k): v for k, v in self.run.observed.items()}}  # fmt: skip

    def report(self, path: str | Path, *, against: Mapping[str, Rehearsal] | None = None, command: str = "") -> Path:
        """Write the page of it: one HTML file. against: other rehearsals on the same world, by what they are called; command: what to
        type to see it again."""
        from understudy.report.rehearsed import write_report

        return write_report({self.run.method.name: self} | dict(against or {}), path, command)


def rehearse(
    method: str | Method, world: str = "", *, data: str | Path | None = None, seed: int = 0, steps: int | None = None,
    folder: str | Path | None = None, say: Say = lambda *_: None,
) -> Rehearsal:  # fmt: skip
    """Train a method on a world and score it.

    world: a name in `worlds.WORLDS`, by default the card's. data: a folder or file of real data for worlds that can read one.
    steps: the budget of updates, by default the world's. folder: where `artefact.safetensors` and `rehearsal.json` are written,
    None writes nothing. say(what, done, of) is told how far it is. Raises `Refused` where method, world or data don't fit.
    """
    method = method if isinstance(method, Method) else registry.get(method)()
    seed, steps = whole("seed", seed, 0, 2**31), None if steps is None else whole("steps", steps, 1, 10**9)
    say("world", 0, 1)
    place = stage(world or method.card.world, seed, data)
    if steps is not None:
        place = recast(place, steps=steps)
    say("world", 1, 1)
    begun, history = time.perf_counter(), list[dict[str, float]]()
    run = start(method, place, seed, device="cpu")
    fit(run, every=max(1, place.steps // POINTS), watch=lambda run, _, terms: history.append({"step": run.step} | noted(run, terms)),
        after=lambda run: say(method.name, run.step, place.steps))  # fmt: skip
    called = world or method.card.world
    done = Rehearsal(run, run.worth(), time.perf_counter() - begun, Path(folder) if folder else None, called, history)
    if done.folder:
        made = artefact(run)
        tensors = made.state_dict() if isinstance(made, nn.Module) else dict(made)
        done.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(done.folder / "artefact.safetensors", save({k: v.contiguous().clone() for k, v in tensors.items()}))
        write_atomically(done.folder / "rehearsal.json", json.dumps(done.told, indent=1) + "\n")
    return done


def stage(name: str, seed: int = 0, data: str | Path | None = None) -> World:
    """The world of that name, made ready: on its own data, or on real data where it can read them."""
    import inspect

    from understudy.worlds import WORLDS, function

    if name not in WORLDS:
        raise refuse("world", name, f"one of {', '.join(WORLDS)}{nearest(name, WORLDS)}")
    if data is None:
        made: World = WORLDS[name](seed, ready=True)
    elif "path" in inspect.signature(function(name)).parameters:
        if not Path(data).exists():
            raise refuse("data", str(data), "a folder or file that exists", f"there is none at {Path(data).absolute()}")
        made = WORLDS[name](seed, ready=True, path=Path(data))
    else:
        raise refuse("data", str(data), f"nothing: the world '{name}' makes its own rows", "leave it out")
    return made
