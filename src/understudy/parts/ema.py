"""Moving averages of networks: the teacher that a student leaves behind it."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def ema_(average: nn.Module, net: nn.Module, decay: float) -> None:
    """average <- decay average + (1 - decay) net, in place; buffers that aren't real numbers are copied. Polyak and Juditsky (1992)."""
    for a, b in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
        if a.is_floating_point():
            a.lerp_(b.to(a), 1 - decay)
        else:
            a.copy_(b)


def warm(decay: float, step: int) -> float:
    """A decay that begins low, so that an average of few steps is an average of those; min(decay, (1 + step) / (10 + step))."""
    return min(decay, (1 + step) / (10 + step))
