"""What a student may cost: `params<1M, latency<2ms, bytes<500kB, flops<10M`, read, and measured without training."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from understudy.core.batch import each
from understudy.core.errors import nearest, refuse
from understudy.export.measure import latency, parameters, size_bytes

COUNTS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
UNITS = {
    "params": COUNTS,
    "flops": COUNTS,
    "bytes": {"": 1.0, "B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30},
    "latency": {"us": 1e-3, "ms": 1.0, "s": 1e3},
}
EXAMPLE = "for instance params<1M, latency<2ms, bytes<500kB, flops<10M"


@dataclass(frozen=True)
class Cost:
    """Of one network and one row. bytes: in memory. latency: milliseconds, median of calls in evaluation mode on this machine. flops: None
    where they can't be counted."""

    params: int
    bytes: int
    latency: float
    flops: int | None


@dataclass(frozen=True)
class Limit:
    """`params<1M` is Limit('params', 1e6): at most that much. latency is in milliseconds."""

    what: str
    most: float

    def missed(self, cost: Cost) -> str | None:
        """How a cost is over this limit, in words; None where it isn't."""
        value = getattr(cost, self.what)
        if value is None:
            return f"its {self.what} can't be counted"
        return f"{told(self.what, value)} is over {told(self.what, self.most)}" if value > self.most else None


@dataclass(frozen=True)
class Budget:
    """Limits that must all hold; none is no budget."""

    limits: tuple[Limit, ...] = ()

    def missed(self, cost: Cost) -> list[str]:
        """Every limit that a cost is over, in words."""
        return [m for limit in self.limits if (m := limit.missed(cost)) is not None]

    def most(self, what: str) -> float | None:
        """The limit of that name, if there is one."""
        return min((limit.most for limit in self.limits if limit.what == what), default=None)

    def __str__(self) -> str:
        return ", ".join(f"{limit.what}<{told(limit.what, limit.most, plain=True)}" for limit in self.limits)


def parse(text: str) -> Budget:
    """`params<1M, latency<2ms` as limits; an empty text is none. Raises `Refused` on a name, a number or a unit that isn't one, by name."""
    return Budget(tuple(_limit(part.strip()) for part in text.split(",") if part.strip()))


def _limit(part: str) -> Limit:
    found = re.fullmatch(r"(\w+)\s*<=?\s*([-+\d.eE]*\d\.?|[-+.\w]*?)\s*([A-Za-z]*)", part)
    if not found:
        raise refuse("budget", part, "NAME<NUMBER, several with commas between", EXAMPLE)
    name, number, unit = found.groups()
    if name not in UNITS:
        raise refuse("budget", name, f"one of {', '.join(UNITS)}{nearest(name, UNITS)}", EXAMPLE)
    if unit not in UNITS[name]:
        known = [u for u in UNITS[name] if u]
        raise refuse(f"budget.{name}", number + unit, f"a number with one of the units {', '.join(known)}", EXAMPLE)
    try:
        value = float(number)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise refuse(f"budget.{name}", number + unit, "a number above 0", EXAMPLE)
    return Limit(name, value * UNITS[name][unit])


def told(what: str, value: float, *, plain: bool = False) -> str:
    """A value with a unit that suits it: 1.2M params. plain: without the name."""
    units = {k: v for k, v in UNITS[what].items() if v <= value and "i" not in k and k != "B"} or {
        "us" if what == "latency" else "": min(UNITS[what].values())
    }
    unit, size = max(units.items(), key=lambda u: u[1])
    text = f"{value / size:.3g}{unit}"
    return text if plain or what == "latency" else f"{text} {what}"


def measure(net: nn.Module, row: Any, *, timed: bool = True) -> Cost:
    """What one row costs a network; row: [1 or more, ...]. timed: also how long it takes; else 0 ms. Nothing is trained."""
    from understudy.report.costs import flops

    one = each(row, lambda t: t[:1])
    net = net.eval()

    def call() -> None:
        with torch.no_grad():
            net(one)

    return Cost(parameters(net), size_bytes(net), latency(net, one) if timed else 0.0, flops(call))
