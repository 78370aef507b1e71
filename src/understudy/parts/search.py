"""Smaller networks of a network's own kind, and an evolution among them.

A network that keeps its constructor's arguments in `config` (whole numbers, or tuples of them) is the largest of a space: each of its
numbers may be less. What it reads and answers (`shape`, `outputs`) stays.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from typing import Any, TypeVar

import torch
from torch import nn

from understudy.core.errors import Refused, refuse

KEPT = ("shape", "outputs")
GRADES = 8  # of a number: every one up to 8, eighths of a larger one
Size = tuple[int, ...]
G = TypeVar("G", bound=Hashable)


def grades(n: int) -> tuple[int, ...]:
    """What a number may be instead, from small to large; 3 -> (1, 2, 3), 32 -> (4, 8, ..., 32)."""
    return tuple(range(1, n + 1)) if n <= GRADES else tuple(dict.fromkeys(round(n * i / GRADES) for i in range(1, GRADES + 1)))


class Sizes:
    """The space below a network. A size is the tuple of its numbers, in the order of `names`.

    Raises `Refused` where the network has no numbers in a `config`.
    """

    def __init__(self, largest: nn.Module) -> None:
        self.kind, config = type(largest), getattr(largest, "config", None)
        self.config: dict[str, Any] = dict(config) if isinstance(config, dict) else {}
        self.names = [(k, i) for k, v in self.config.items() if k not in KEPT for i in _places(v)]
        if not self.names:
            raise refuse("student", self.kind.__name__, "a network with its constructor's arguments in `config`, some of them whole numbers",
                         "the tiny reference networks have one")  # fmt: skip
        self.choices = [grades(self.config[k] if i is None else self.config[k][i]) for k, i in self.names]

    @property
    def largest(self) -> Size:
        return tuple(c[-1] for c in self.choices)

    def settings(self, size: Size) -> dict[str, Any]:
        """The constructor's arguments of a size."""
        made = dict(self.config)
        for (k, i), n in zip(self.names, size, strict=True):
            made[k] = n if i is None else tuple(n if j == i else v for j, v in enumerate(made[k]))
        return made

    def build(self, size: Size) -> nn.Module:
        """A network of that size, from the current random stream. Raises `Refused` where its kind can't be of it."""
        return self.kind(**self.settings(size))

    def weigh(self, size: Size) -> int | None:
        """Parameters of that size, without memory for them; None where its kind can't be of it."""
        try:
            with torch.device("meta"):
                return sum(p.numel() for p in self.build(size).parameters())
        except Refused:
            return None

    def draw(self) -> Size:
        """Any of them, from the current random stream."""
        return tuple(c[_below(len(c))] for c in self.choices)

    def change(self, size: Size) -> Size:
        """One of its numbers is another."""
        open_ = [i for i, c in enumerate(self.choices) if len(c) > 1]
        if not open_:
            return size
        i = open_[_below(len(open_))]
        others = [n for n in self.choices[i] if n != size[i]]
        return (*size[:i], others[_below(len(others))], *size[i + 1 :])

    def lessen(self, size: Size) -> Size | None:
        """One of its numbers is the next smaller; None where nothing is left to take."""
        open_ = [i for i, n in enumerate(size) if n > self.choices[i][0]]
        if not open_:
            return None
        i = open_[_below(len(open_))]
        return (*size[:i], self.choices[i][self.choices[i].index(size[i]) - 1], *size[i + 1 :])

    def within(self, most: float) -> Size:
        """Any of at most so many parameters: one is drawn, and lessened until it fits. Raises `Refused` where the smallest doesn't."""
        size: Size | None = self.draw()
        while size is not None:
            weight = self.weigh(size)
            if weight is not None and weight <= most:
                return size
            size = self.lessen(size)
        raise refuse("limit", int(most), "parameters for the smallest network at least", "raise it")


def evolve(first: Callable[[], G], change: Callable[[G], G], worth: Callable[[G], float | None], population: int, rounds: int,
           sample: int) -> tuple[G, dict[G, float]]:  # fmt: skip
    """Regularised evolution (Real et al., 2019): the best of a random sample has a changed child, the oldest of the population dies.

    worth: higher is better, None is stillborn; each is asked once. Chance is the current random stream. -> the best of all that lived,
    and what each was worth.
    """
    lived: dict[G, float] = {}
    dead: set[G] = set()

    def lives(one: G) -> bool:
        if one not in lived and one not in dead:
            value = worth(one)
            if value is None:
                dead.add(one)
            else:
                lived[one] = value
        return one in lived

    alive = deque(one for one in (first() for _ in range(population)) if lives(one))
    if not alive:
        raise refuse("population", population, "enough that one can live", "raise it")
    for _ in range(rounds):
        child = change(max((alive[_below(len(alive))] for _ in range(sample)), key=lived.__getitem__))
        if lives(child):
            alive.append(child)
            alive.popleft()
    return max(lived, key=lived.__getitem__), lived


def _below(n: int) -> int:
    return int(torch.randint(n, ()))


def _places(value: Any) -> Iterator[int | None]:
    if _whole(value):
        yield None
    elif isinstance(value, tuple):
        yield from (i for i, v in enumerate(value) if _whole(v))


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
