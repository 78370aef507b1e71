"""How strongly each term of a loss pulls at the student, looked at now and then while it learns."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from understudy.core import devices, sharding
from understudy.core.batch import Batch
from understudy.core.fit import heard
from understudy.core.run import Run, parameters

TIMES = 20  # looks during a training, at most
APART = 10  # steps between two of them, at least
ROWS = 32  # of the batch that are looked at; fewer where it is learned from in parts


def noted(run: Run, terms: Mapping[str, Mapping[str, Tensor]]) -> dict[str, float]:
    """The terms of a step as a file keeps them: 'loss/<term>', 'loss/<player>.<term>' where several play."""
    several = len(run.opts) > 1
    return {f"loss/{player}.{k}" if several else f"loss/{k}": v.item() for player, own in terms.items() for k, v in own.items()}


def apart(steps: int, every: int = 1) -> int:
    """Steps between two looks, a multiple of `every`."""
    return every * -(-max(APART, -(-steps // TIMES)) // every)


def pulls(run: Run, batch: Batch) -> dict[str, float]:
    """The norm of each term's gradient towards the student's parameters, by the term's name.

    Costs a forward and, for each term, a backward on at most 32 rows. Draws from the caller's stream, so that is to be one of its
    own; whatever the loss writes into a network's buffers is put back, and no gradient is left behind: the run stays the same to
    the last bit. Nothing is measured where several processes learn together, or where memory doesn't suffice.
    """
    if run.world.ranks > 1 or sharding.wanted():
        return {}
    parts = max(run.world.parts, -(-len(batch) // ROWS))
    few = Batch(batch) if parts == 1 else batch.split(parts)[0]
    kept = _buffers(run.nets)
    try:
        terms = heard(run, few)
        player = "student" if "student" in run.opts else next(iter(run.opts))
        own = run["student"].parameters() if "student" in run.nets else parameters(run, player)
        moved = [p for p in own if p.requires_grad]
        return {name: _norm(term, moved) for name, term in terms.get(player, {}).items()} if moved else {}
    except (RuntimeError, MemoryError) as e:
        if not devices.out_of_memory(e):
            raise
        return {}
    finally:
        for module, name, tensor, value in kept:
            module._buffers[name] = tensor
            tensor.data.copy_(value)  # through .data: the graph of the step that is under way may have saved it


def _norm(term: Tensor, moved: list[nn.Parameter]) -> float:
    if not term.requires_grad:
        return 0.0
    found = [g for g in torch.autograd.grad(term, moved, retain_graph=True, allow_unused=True) if g is not None]
    return float(torch.stack([g.double().square().sum() for g in found]).sum().sqrt()) if found else 0.0


def _buffers(nets: nn.Module) -> list[tuple[nn.Module, str, Tensor, Tensor]]:
    """Every buffer that a loss may write into: where it hangs, itself, and a copy of what it holds. Stored answers may be many, and stay."""
    there = ((m, name, b) for m in nets.modules() if not hasattr(m, "read") for name, b in m._buffers.items() if b is not None)
    return [(m, name, b, b.detach().clone()) for m, name, b in there]
