"""A step that can't be learned from: whether it is one, taking back what it wrote, a way round it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from understudy.core.errors import refuse
from understudy.core.method import Terms
from understudy.core.run import UNDIVIDED, Run, parameters
from understudy.core.world import recast

LARGE = 2**20  # numbers in a buffer; one with more is a memory that `after_step` fills, watched but not copied before a step


def undoing(run: Run) -> Callable[[], bool]:
    """A function that takes back what is written from here on before anything moves: gradients, and the buffers that a checkpoint
    holds. It tells whether all is as it was, and can be called again."""
    there = ((m, k, b) for m in run.nets.modules() for k, b in m._buffers.items() if k not in m._non_persistent_buffers_set)
    were = [(m, k, b, b._version if b.numel() > LARGE else b.detach().clone()) for m, k, b in there if b is not None]

    def undo() -> bool:
        for opt in run.opts.values():
            opt.zero_grad(set_to_none=True)
        for m, k, b, was in were:
            if isinstance(was, Tensor):
                m._buffers[k] = b.copy_(was)
        return all(isinstance(was, Tensor) or (m._buffers[k] is b and b._version == was) for m, k, b, was in were)

    return undo


def finite(run: Run, terms: Mapping[str, Terms]) -> Tensor:
    """Whether each player's loss and every gradient is finite, without waiting for a device; -> [], bool"""
    seen = [functools.reduce(torch.add, own.values()) for own in terms.values()]
    seen += [g for _, g in _gradients(run, terms) if g.numel()]
    return torch.stack(torch._foreach_norm(seen, math.inf)).isfinite().all()  # of other norms squares could overflow


def named(run: Run, terms: Mapping[str, Terms]) -> str:
    """What isn't finite, in words."""
    for own in terms.values():
        for k, term in own.items():
            if not term.isfinite():
                return f"the term '{k}' of '{run.method.name}' is {term.item()}"
        if not functools.reduce(torch.add, own.values()).isfinite():
            return f"the terms of '{run.method.name}' are finite and their sum isn't"
    where = next((p for p, g in _gradients(run, terms) if not g.isfinite().all()), None)
    at = next((k for k, p in run.nets.named_parameters() if p is where), "another process")
    return f"the terms of '{run.method.name}' are finite and their gradient at {at} isn't"


def _gradients(run: Run, terms: Mapping[str, Terms]) -> Iterator[tuple[Tensor, Tensor]]:
    """Of everybody whose turn it is: parameter, and what there is of its gradient in this process."""
    for p in (p for player in terms for p in parameters(run, player)):
        if (grad := p.grad) is not None:
            yield p, grad.to_local() if hasattr(grad, "to_local") else grad.coalesce().values() if grad.is_sparse else grad


def halve(run: Run, undone: bool) -> None:
    """Learn from a batch in twice as many parts from now on. Raises `Refused` where that can't be, or wouldn't help."""
    world, whole = run.world, ""
    if UNDIVIDED & set(run.method.card.tags):
        whole = f": '{run.method.name}' compares the rows of a batch, or has several players, and can't learn from parts of it"
    if whole or not undone or world.ranks > 1 or 2 * world.parts > world.batch:
        mend = "use a smaller batch" + ("" if whole else ", or more parts of one (training.accumulate)")
        raise refuse("training.batch", world.batch, f"rows that memory suffices for{whole}", mend)
    run.world = recast(world, parts=2 * world.parts)
