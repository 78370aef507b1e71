"""Which rows made a step not finite."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any

import torch
from torch import Tensor

from understudy.core.batch import each
from understudy.core.faults import undoing
from understudy.core.fit import heard, restarted
from understudy.core.run import Run
from understudy.core.seeds import stream

SHOWN = 5  # rows that are named


def blame(run: Run, step: int) -> str:
    """The rows of a step that hold, or are answered by, what isn't finite, in a few words that begin with a blank; '' where none stands
    out. `(row 17: what 'teacher' answers isn't finite)`

    The step is taken once more as far as its loss, while the networks are listened to; the run's weights are to be as they were before it,
    and it is left as it was found. Rows are told by their number among the training rows where the batch has it, else by
    their place in the batch. The first in the order of x, y and the like, then of the networks as they were asked.
    """
    found: dict[str, list[int]] = {}
    now, undo = run.step, undoing(run)
    try:
        run.step = step
        with stream("blame"), contextlib.suppress(RuntimeError):  # memory, say
            _listen(run, found)
    finally:
        undo()
        run.step = now
    for where, rows in found.items():
        if rows:
            some, more = ", ".join(map(str, rows[:SHOWN])), len(rows) - SHOWN
            return (
                f" ({'row' if len(rows) == 1 else 'rows'} {some}{f' and {more} more' if more > 0 else ''}: {where} isn't finite)"
            )
    return ""


def _listen(run: Run, found: dict[str, list[int]]) -> None:
    batch, place = restarted(run), 0
    for part in batch.split(run.world.parts) if run.world.parts > 1 else [batch]:
        numbers = part["row"].tolist() if isinstance(part.get("row"), Tensor) else list(range(place, place + len(part)))
        place += len(part)
        for name, value in part.items():
            each(value, partial(_note, found, name, numbers))
        hooks = [net.register_forward_hook(_ear(found, f"what '{name}' answers", numbers)) for name, net in run.nets.items()]
        try:
            with torch.no_grad():
                heard(run, part)
        finally:
            for hook in hooks:
                hook.remove()


def _ear(found: dict[str, list[int]], where: str, numbers: list[int]) -> Any:
    def hear(_net: Any, _x: Any, out: Any) -> None:
        each(out, partial(_note, found, where, numbers))

    return hear


def _note(found: dict[str, list[int]], where: str, numbers: list[int], t: Tensor) -> Tensor:
    if t.is_floating_point() and t.dim() and len(t) == len(numbers):
        bad = t.isinf() if where == "y" else ~t.isfinite()  # NaN hides a label
        new = [numbers[i] for i in bad.reshape(len(t), -1).any(1).nonzero().flatten().tolist()]
        found[where] = [*found.get(where, []), *(n for n in new if n not in found.get(where, []))]
    return t
