"""Where a run lives. Accelerate knows the launch (one process, several, sharded); a run asks it and nobody else.

Gradients are averaged after the backward pass, by player, and networks keep their class: a tap, a second forward, a player who
rests or an unrolled step need no wrapper's permission (docs/decisions/0002).
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from understudy.core.errors import refuse

if TYPE_CHECKING:
    from accelerate import Accelerator

BUCKET = 25 * 2**20  # bytes sent at once: large enough to fill a link, small enough to hold twice


@functools.cache
def accelerator() -> Accelerator:
    """One a process: devices and process groups can't be had twice."""
    from accelerate import Accelerator

    return Accelerator(step_scheduler_with_optimizer=False)


def launched() -> bool:
    """Whether this process is one of several, as launchers say."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def out_of_memory(e: BaseException) -> bool:
    """Whether an error says that memory doesn't suffice, of a device or of the machine."""
    words = ("can't allocate memory", "not enough memory", "bad_alloc", "ALLOC_FAILED")
    return isinstance(e, (torch.OutOfMemoryError, MemoryError)) or any(w in str(e) for w in words)


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """'no' or 'bf16'. fp16 is refused: its gradients need scaling, which a game of several players can't share."""
    if precision == "no":
        return contextlib.nullcontext()
    if precision != "bf16":
        raise refuse("precision", precision, "'no' or 'bf16'", "bf16 needs no loss scaling")
    return torch.autocast(device.type, torch.bfloat16)


def mean_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Average over the processes, bucket by bucket. A parameter without a gradient here counts as zero, unless it has none anywhere:
    then an optimiser is to leave it alone, as in a single process. Sharded ones are averaged already."""
    from torch.distributed.tensor import DTensor

    whole = [p for p in parameters if not isinstance(p, DTensor)]
    if not whole:
        return
    used = accelerator().reduce(torch.tensor([float(p.grad is not None) for p in whole], device=whole[0].device), "sum").tolist()
    bucket: list[nn.Parameter] = []
    size = 0
    for p in (p for p, anywhere in zip(whole, used, strict=True) if anywhere):
        if p.grad is None:
            p.grad = torch.zeros_like(p)
        if bucket and (size + p.grad.nbytes > BUCKET or p.grad.dtype != bucket[0].grad.dtype):  # type: ignore[union-attr]
            _reduce(bucket)
            bucket, size = [], 0
        bucket.append(p)
        size += p.grad.nbytes
    if bucket:
        _reduce(bucket)


def total(value: float, device: torch.device) -> float:
    """The sum of what each process has."""
    summed: Tensor = accelerator().reduce(torch.tensor(value, dtype=torch.float64, device=device), "sum")
    return summed.item()


def share(buffers: Iterable[Tensor]) -> None:
    """Overwrite every process's tensors by the first process's."""
    from accelerate.utils import broadcast

    for b in buffers:
        b.copy_(broadcast(b))  # type: ignore[no-untyped-call]


def _reduce(bucket: list[nn.Parameter]) -> None:
    grads: list[Tensor] = [p.grad for p in bucket]  # type: ignore[misc]
    mean: Tensor = accelerator().reduce(torch.cat([g.flatten() for g in grads]), "mean")
    for g, part in zip(grads, torch.split(mean, [g.numel() for g in grads]), strict=True):
        g.copy_(part.view_as(g))
