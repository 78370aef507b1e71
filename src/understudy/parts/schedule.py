"""Pure functions of the step."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable


def cosine(steps: int, warmup: int = 0) -> Callable[[int], float]:
    """Factor of the learning rate: a linear rise over `warmup` steps, then half a cosine down to 0 at `steps`."""

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * min((step - warmup) / max(steps - warmup, 1), 1.0)))

    return factor


def ramp(step: int, over: int) -> float:
    """A weight's linear rise from 1/over to 1; 1 at once where `over` is 0."""
    return min((step + 1) / over, 1.0) if over > 0 else 1.0


def sigmoid_ramp(step: int, over: int) -> float:
    """A weight's rise exp(-5 (1 - t)^2), t = step / over, from 0.0067 to 1; 1 at once where `over` is 0. Laine and Aila 2017"""
    return math.exp(-5 * (1 - _through(step, over)) ** 2)


def sine_ramp(step: int, over: int) -> float:
    """A weight's rise sin(pi t / 2), t = step / over, from 0 to 1, steep at first; 1 at once where `over` is 0"""
    return math.sin(math.pi / 2 * _through(step, over))


def risen(base: float, step: int, steps: int) -> float:
    """An average's decay on its way from `base` to 1 by half a cosine: 1 - (1 - base) (cos(pi step / steps) + 1) / 2. Grill et al.
    2020"""
    return 1 - (1 - base) * (math.cos(math.pi * _through(step, steps)) + 1) / 2


def _through(step: int, over: int) -> float:
    return min(max(step, 0) / over, 1.0) if over > 0 else 1.0


def within(phase: Callable[[int], int], step: int, steps: int) -> float:
    """How much of its phase is done at a step, in [0, 1); phase: which of a sequence a step belongs to, never falling."""
    now, all_steps = phase(step), range(max(steps, step + 1))
    first, end = bisect.bisect_left(all_steps, now, key=phase), bisect.bisect_right(all_steps, now, key=phase)
    return (step - first) / (end - first)
