"""Several methods at once, which is a method like any other."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from understudy.core import registry
from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.errors import refuse
from understudy.core.method import Method, Terms
from understudy.core.run import Run
from understudy.core.taps import one, resolve, tap
from understudy.core.world import Player, World, recast

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda p: 1.0,
    "rise": lambda p: p,
    "fall": lambda p: 1 - p,
    "cosine": lambda p: (1 + math.cos(math.pi * p)) / 2,
}


@dataclass(frozen=True)
class Compose(Method):
    """The weighted sum of several methods' terms, each weight on a schedule of the run's progress.

        L = hard + sum_i w_i f_i(step / steps) L_i(soft terms)

    The term 'hard' (the task's own loss) is taken once, from the first method that has one. A network is run once for the k-th
    look that each method takes at the same rows, so k methods cost one forward, and batch statistics are seen once. The first
    method's `source` and `players` hold; a network that only one method has is named after it (`fitnet_projector`).
    """

    card = Card("Terms combined", "doi:none", 2026, tags=(), forwards=8)
    name = "compose"

    methods: tuple[Method, ...] = ()
    weights: tuple[float, ...] = ()
    schedules: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.methods, (tuple, list)):
            raise refuse("compose.methods", self.methods, "a list of methods", "e.g. compose(kd(), fitnet())")
        parts = tuple(registry.build(m) if isinstance(m, Mapping) else m for m in self.methods)
        n = len(parts)
        if not n or not all(isinstance(m, Method) for m in parts):
            raise refuse("compose.methods", self.methods, "one method or more", "e.g. compose(kd(), fitnet())")
        for field, default in (("weights", 1.0), ("schedules", "constant")):
            value = getattr(self, field)
            if not isinstance(value, (tuple, list)) or len(value) not in (0, n):
                raise refuse(f"compose.{field}", value, f"a list with as many as there are methods, {n}", "or leave it out")
            value = tuple(value) or (default,) * n
            object.__setattr__(self, field, value)
        for w in self.weights:
            if isinstance(w, bool) or not (isinstance(w, (int, float)) and 0 <= w <= 1e9):
                raise refuse("compose.weights", w, "numbers of 0 or more, at most 1e9")
        for s in self.schedules:
            if not isinstance(s, str) or s not in SCHEDULES:
                raise refuse("compose.schedules", s, f"one of {', '.join(SCHEDULES)}")
        for m in parts:
            if isinstance(m, Compose):
                raise refuse(
                    "compose.methods", m.labels, "methods that aren't themselves composed", "put them side by side in one compose"
                )
            if "game" in m.card.tags and n > 1:
                raise refuse("compose.methods", m.name, "methods with one player", "run a game by itself")
        for verb in ("source", "result", "players"):
            owners = [m.name for m in parts if getattr(type(m), verb) is not getattr(Method, verb)]
            if len(owners) > 1:
                raise refuse("compose.methods", owners, f"at most one method with a `{verb}` of its own")
        object.__setattr__(self, "methods", parts)
        tags = frozenset(t for m in parts for t in m.card.tags) - (
            {"matching"} if any("matching" not in m.card.tags for m in parts) else set()
        )
        object.__setattr__(
            self, "card", Card(" + ".join(m.card.title for m in parts), "doi:none", 2026, tags=tags - {"rows"}, forwards=8)
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """What each method's terms and networks are called."""
        names = [m.name for m in self.methods]
        return tuple(n if names.count(n) == 1 else f"{n}{i}" for i, n in enumerate(names))

    def config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "methods": [m.config() for m in self.methods],
            "weights": list(self.weights),
            "schedules": list(self.schedules),
        }

    def taps(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for m in self.methods:
            for net, names in m.taps().items():
                found.setdefault(net, []).extend(names)
        return found

    def _owner(self, verb: str) -> tuple[str, Method]:
        """Whose verb holds: the only method that has its own, or the first."""
        pairs = list(zip(self.labels, self.methods, strict=True))
        return next((p for p in pairs if getattr(type(p[1]), verb) is not getattr(Method, verb)), pairs[0])

    def players(self, world: World) -> dict[str, Player]:
        return self._owner("players")[1].players(world)

    def setup(self, world: World) -> dict[str, nn.Module]:
        nets: dict[str, nn.Module] = {}
        student, teacher = world.student(), world.teacher()
        fixed = _fixed(world, student, teacher)
        for label, m in zip(self.labels, self.methods, strict=True):
            for name, net in m.setup(fixed).items():
                shared = name in ("student", "teacher")
                if name == "student" and net is not student:
                    if "student" in nets and nets["student"] is not student:
                        raise refuse("compose.methods", label, "at most one method that rebuilds the student")
                    nets[name] = net
                else:
                    nets.setdefault(name if shared else f"{label}_{name}", net)
        return nets

    def source(self, run: Run) -> Batch:
        label, m = self._owner("source")
        return m.source(Scope.of(run, label, self, {}))

    def loss(self, run: Run, batch: Batch) -> Terms:
        seen: dict[Any, Any] = {}
        terms: dict[str, Tensor] = {}
        for label, m, weight, schedule in zip(self.labels, self.methods, self.weights, self.schedules, strict=True):
            factor = weight * SCHEDULES[schedule](run.progress)
            own = cast(Mapping[str, Tensor], m.loss(Scope.of(run, label, self, seen), batch))
            for name, term in own.items():
                if name != "hard":
                    terms[f"{label}.{name}"] = factor * term
                elif "hard" not in terms:
                    terms["hard"] = term
        return terms

    def after_step(self, run: Run, batch: Batch) -> None:
        for label, m in zip(self.labels, self.methods, strict=True):
            m.after_step(Scope.of(run, label, self, {}), batch)

    def result(self, run: Run) -> nn.Module | Batch:
        label, m = self._owner("result")
        return m.result(Scope.of(run, label, self, {}))


def _fixed(world: World, student: nn.Module, teacher: nn.Module | None) -> World:
    """The world, handing every method the same student and teacher."""
    return recast(world, student=lambda: student, teacher=lambda: teacher)


class Scope(Run):
    """A run as one of several methods sees it: its own networks under their plain names, forwards shared with the others."""

    label: str
    wanted: dict[str, list[str]]  # what all methods together read in each network
    seen: dict[Any, Any]  # (net, rows, k-th look) -> output, what was read, the rows (held, so that no id is used again)
    looks: dict[Any, int]

    @classmethod
    def of(cls, run: Run, label: str, whole: Compose, seen: dict[Any, Any]) -> Scope:
        new = cls.__new__(cls)
        vars(new).update(vars(run), label=label, wanted=whole.taps(), seen=seen, looks={})
        return new

    def __getitem__(self, name: str) -> Any:
        own = f"{self.label}_{name}"
        return self.nets[own] if own in self.nets else _Shared(self, name)

    def renew(self, name: str, fresh: nn.Module) -> None:
        own = f"{self.label}_{name}"
        super().renew(own if own in self.nets else name, fresh)

    def tap(self, name: str, at: Any, *x: Any) -> tuple[Any, Any]:
        own = f"{self.label}_{name}"
        if own in self.nets:
            return super().tap(own, at, *x)
        names = (at,) if isinstance(at, str) else tuple(at)
        out, found = self._look(name, names, x)
        return out, found[0] if one(at) else found

    def _look(self, name: str, at: tuple[str, ...], x: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """The k-th look of this method at these rows is the k-th look of the others."""
        net, key = self.nets[name], (name, *map(id, x), torch.is_grad_enabled())
        k = self.looks[key] = self.looks.get(key, -1) + 1
        names = at if hasattr(net, "read") else resolve(net, at, *x)
        if (key, k) not in self.seen or not set(names) <= self.seen[key, k][1].keys():
            wanted = tuple(dict.fromkeys((*names, *self._known(net, name, x))))
            if hasattr(net, "read"):  # one name may stand for several stored tensors
                out, found = net(*x), [tap(net, (n,), *x)[1] for n in wanted]
            else:
                out, taken = tap(net, wanted, *x) if wanted else (net(*x), ())
                found = [(t,) for t in taken]
            self.seen[key, k] = out, dict(zip(wanted, found, strict=True)), x
        out, read, _ = self.seen[key, k]
        return out, tuple(t for n in names for t in read[n])

    def _known(self, net: nn.Module, name: str, x: tuple[Any, ...]) -> tuple[str, ...]:
        at = tuple(self.wanted.get(name, ()))
        return at if hasattr(net, "read") else resolve(net, at, *x)


class _Shared:
    """A network that several methods call: `run["student"](x)` shares the forward, everything else is the network's own."""

    def __init__(self, scope: Scope, name: str) -> None:
        self._scope, self._name = scope, name

    def __call__(self, *x: Any) -> Any:
        return self._scope._look(self._name, (), x)[0]

    def __deepcopy__(self, memo: dict[int, Any]) -> nn.Module:
        return copy.deepcopy(self._scope.nets[self._name], memo)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scope.nets[self._name], name)


registry.add(Compose)
