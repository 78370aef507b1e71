"""How much each token of a row moves the loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core.taps import module_at
from understudy.parts.divergence import wide


def sensitivity(net: nn.Module, at: str, x: Any, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """Norm of the gradient of loss(net(x)) towards what leaves the module `at` (an embedding), at every place; no gradient passes
    from here into the network. The loss is a sum over rows, so that none weighs another; -> [N, L]"""
    left: list[Tensor] = []

    def cut(_net: nn.Module, _x: Any, out: Tensor) -> Tensor:
        left.append(out.detach().requires_grad_())
        return left[-1]

    handle = module_at(net, at).register_forward_hook(cut)
    try:
        with torch.enable_grad():
            (g,) = torch.autograd.grad(loss(net(x)), left[-1:])
    finally:
        handle.remove()
    return torch.linalg.vector_norm(wide(g), dim=-1)  # type: ignore[no-any-return]


def unit_range(v: Tensor, where: Tensor) -> Tensor:
    """(v - least) / (most - least) over the marked places of a row; 1 elsewhere, and everywhere if those are all alike.

    [N, L], bool [N, L] -> [N, L]
    """
    least = v.masked_fill(~where, torch.inf).amin(1, keepdim=True)
    spread = v.masked_fill(~where, -torch.inf).amax(1, keepdim=True) - least
    even = ~where | ~(spread > 0)
    return ((v - least) / spread.masked_fill(~(spread > 0), 1)).masked_fill(even, 1)
