"""Several networks that begin as one, and logits that know how frequent the classes are."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from understudy.core.errors import TapError
from understudy.core.taps import tap
from understudy.parts.divergence import wide


class Experts(nn.Module):
    """A network, and its later parts again and again with weights of their own, all of which read what its first parts say (RIDE,
    Wang et al. 2021); x [N, ...] -> [K, N, C], its own answer first"""

    def __init__(self, net: nn.Module, experts: int, x: Tensor, shared: int = 1) -> None:
        """shared: how many of the network's parts (its children, in order) there are once only; never the last. x: some rows that it
        can read. Raises `TapError` where its parts in a row aren't what it does."""
        super().__init__()
        names, parts = zip(*net.named_children(), strict=True) if any(net.children()) else ((), ())
        if len(parts) < 2:
            raise TapError(f"experts: {type(net).__name__} has no parts in a row, of which the first could be shared")
        shared = min(shared, len(parts) - 1)
        self.inner, self.at, later = net, names[shared - 1], nn.Sequential(*parts[shared:])
        self.tails = nn.ModuleList(renewed(later) for _ in range(experts - 1))
        with torch.no_grad():
            _, (early, last) = tap(net.eval(), (self.at, names[-1]), x)
            same = torch.allclose(later(early), last)
        net.train()
        if not same:
            raise TapError(f"experts: {type(net).__name__} does something else than its parts {', '.join(names)} in a row")

    def forward(self, x: Tensor) -> Tensor:
        own, early = tap(self.inner, self.at, x)
        return torch.stack([own, *(tail(early) for tail in self.tails)])


class Together(nn.Module):
    """Experts' answers as one, their mean; [N, ...] -> [N, C]"""

    def __init__(self, inner: Experts) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return wide(self.inner(x)).mean(0)


def renewed(net: nn.Module) -> nn.Module:
    """A copy whose layers have drawn new weights, from torch's own stream; what no layer can draw again stays as it was."""
    new = copy.deepcopy(net)
    for module in new.modules():
        draw = getattr(module, "reset_parameters", None)
        if callable(draw):
            draw()
    return new


def counts(y: Tensor, classes: int) -> Tensor:
    """How many rows of each class there are, at least 1; [N], -1 is hidden -> [C]"""
    return torch.bincount(y[y >= 0], minlength=classes).clamp(min=1).to(torch.get_default_dtype())


def adjusted(logits: Tensor, count: Tensor, much: float) -> Tensor:
    """logits + much log count: learned under this, logits of frequent classes come out lower, and those of rare ones higher; 1
    makes up for the counts (Ren et al. 2020, Balanced Softmax), 0 leaves them; [..., C], [C] -> [..., C]"""
    return wide(logits) + much * count.log().to(wide(logits))
