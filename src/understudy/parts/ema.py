"""Moving averages of networks: the teacher that a student leaves behind it."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def ema_(average: nn.Module, net: nn.Module, decay: float, *, copied: bool = False) -> None:
    """average <- decay average + (1 - decay) net, in place; buffers that aren't real numbers are copied, and where `copied` all
    of them are (running statistics of the student's own, as they are now). Polyak and Juditsky (1992)."""
    plain = {name for name, _ in net.named_buffers()} if copied else set()
    for (name, a), b in zip(average.state_dict().items(), net.state_dict().values(), strict=True):
        if a.is_floating_point() and name not in plain:
            a.lerp_(b.to(a), 1 - decay)
        else:
            a.copy_(b)


def epoch_ema_(average: nn.Module, net: nn.Module, decay: float, step: int, epoch: int, *, copied: bool = False) -> bool:
    """The same once an epoch, after the last of its `epoch` steps; whether this step (from 0) was one. Between, nothing moves."""
    ends = (step + 1) % epoch == 0
    if ends:
        ema_(average, net, decay, copied=copied)
    return ends


def warm(decay: float, step: int, lag: int = 10) -> float:
    """A decay that begins low, so that an average of few steps is an average of those; min(decay, (1 + step) / (lag + step)). A
    lag of 2 is 1 - 1/k at the k-th step, the plain mean of all so far (Tarvainen and Valpola 2017)."""
    return min(decay, (1 + step) / (lag + step))
