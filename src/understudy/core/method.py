"""The contract: a frozen dataclass of hyper-parameters, a card, five verbs and the noun `players`."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast, dataclass_transform

from torch import Tensor, nn

from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.errors import nearest, refuse
from understudy.core.fields import at, check, choice, span
from understudy.core.world import Player, World

if TYPE_CHECKING:
    from understudy.core.run import Run

Terms = Mapping[str, Tensor]  # named scalars; their sum is what goes down
__all__ = ["Method", "Terms", "at", "choice", "freeze", "register", "span"]

M = TypeVar("M", bound="type[Method]")


class Method:
    """Hyper-parameters, five verbs (only `loss` must be written) and one noun, `players`.

    Memory lives in the networks (buffers), chance in torch's own stream (the core seeds it for every step), rows in `run.rows()`.
    Raises `Refused` where a hyper-parameter is outside its range.
    """

    card: ClassVar[Card]
    name: ClassVar[str]

    def __post_init__(self) -> None:
        check(self, self.name)

    def players(self, world: World) -> dict[str, Player]:
        """A player moves the network of its name; the first one also moves what nobody else does."""
        return {"student": world.player}

    def setup(self, world: World) -> dict[str, nn.Module]:
        """The networks by name. Build the student first, so that a seed gives every method the same one."""
        student, teacher = world.student(), world.teacher() if "teacher" in self.card.tags else None
        if teacher is None and "teacher" in self.card.tags:
            raise refuse("teacher", None, f"'{self.name}' learns from a teacher", "give one, or use a method without ('alone')")
        return {"student": student} | ({} if teacher is None else {"teacher": freeze(teacher)})

    def source(self, run: Run) -> Batch:
        """What to learn from at this step; no gradient flows here."""
        return run.world.source(run)

    def loss(self, run: Run, batch: Batch) -> Terms | dict[str, Terms]:
        """Terms of the only player, or {player: terms} of those whose turn it is: who is absent rests."""
        raise NotImplementedError

    def after_step(self, run: Run, batch: Batch) -> None:
        """Moving averages, queues, snapshots; no gradient flows here."""

    def result(self, run: Run) -> nn.Module | Batch:
        """What the run made."""
        module: nn.Module = run.nets["student"]
        return module

    def config(self) -> dict[str, Any]:
        """{'name': ..., field: value}, plain enough for JSON; `understudy.core.registry.build` reads it back."""
        settings: dict[str, Any] = asdict(self)  # type: ignore[call-overload]
        return {"name": self.name} | settings

    def taps(self) -> dict[str, list[str]]:
        """Where this method reads each network, as its fields say."""
        found: dict[str, list[str]] = {}
        for f in fields(self):  # type: ignore[arg-type]
            for net in f.metadata.get("at", ()):
                value = getattr(self, f.name)
                found.setdefault(net, []).extend((value,) if isinstance(value, str) else value)
        return found


def freeze(net: nn.Module) -> nn.Module:
    """A copy that never learns: evaluation mode, no gradient, the original left as it was."""
    return copy.deepcopy(net).eval().requires_grad_(False)


@dataclass_transform(frozen_default=True, field_specifiers=(span, choice, at, field))
def register(cls: M) -> M:
    """Make a method of a class: a frozen dataclass named after its file."""
    from understudy.core import registry

    cls.name = cls.__module__.rsplit(".", 1)[-1].replace("_", "-")
    made = dataclass(frozen=True)(cls)
    registry.add(made)
    return cast(M, made)


def unknown_fields(cls: type[Method], given: Mapping[str, Any]) -> None:
    """Refuse, by name, settings that the method doesn't have."""
    known = [f.name for f in fields(cls)]  # type: ignore[arg-type]
    for k in given:
        if k not in known:
            raise refuse(f"{cls.name}.{k}", given[k], f"'{cls.name}' has {', '.join(known) or 'no fields'}{nearest(k, known)}")
