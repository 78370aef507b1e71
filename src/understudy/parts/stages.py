"""One budget, several stages one after the other, each with a schedule of its own. Pure functions of the step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from understudy.parts.schedule import within


def stage(step: int, steps: int, shares: Sequence[float]) -> int:
    """Which stage a step is in, where they have these shares of the budget, of which the last one has what is left; -> 0 ..."""
    ends = [round(steps * sum(shares[: k + 1])) for k in range(len(shares) - 1)]
    return sum(step >= end for end in ends)


def anew(schedule: Callable[[int], float] | None, phase: Callable[[int], int], steps: int) -> Callable[[int], float] | None:
    """A schedule that each phase goes through as a whole, at the pace that it needs for that; None where there is none."""
    if schedule is None:
        return None
    whole = schedule
    return lambda step: whole(int(steps * within(phase, step, steps)))
