"""Learning to learn from what several experts say: put together, a step towards that, and a network that takes it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from understudy.core.taps import At, tap
from understudy.parts.divergence import wide
from understudy.parts.project import pooled
from understudy.parts.unroll import at, descend, flat


class Aggregator(nn.Module):
    """A transformer over experts, in whatever order, then their mean, as in Zhong et al. 2022; [N, K, D] -> [N, D].

    head: what the mean tells of the class, which it is first taught by; [N, D] -> [N, classes]
    """

    def __init__(self, width: int, classes: int, heads: int = 4, depth: int = 1) -> None:
        super().__init__()
        heads = max(h for h in range(1, heads + 1) if width % h == 0)
        layer = nn.TransformerEncoderLayer(width, heads, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes))

    def forward(self, f: Tensor) -> Tensor:
        mean: Tensor = self.blocks(f).mean(1)
        return mean


def others(f: Tensor, own: Tensor) -> Tensor:
    """What all experts but a row's own say, in their order; [N, K, D], [N] -> [N, K-1, D]"""
    keep = torch.arange(f.shape[1], device=f.device) != own[:, None]
    return f[keep].view(len(f), -1, f.shape[2])


class _Tapped(nn.Module):
    """Answers with what is read inside a network too."""

    def __init__(self, net: nn.Module, where: At) -> None:
        super().__init__()
        self.net, self.where = net, where

    def forward(self, x: Any) -> Any:
        return tap(self.net, self.where, x)


def towards(net: nn.Module, where: At, x: Tensor, target: Tensor, lr: float) -> Tensor:
    """The parameters after one step of descent on the mean square between features, pooled, and a target for them, differentiable
    in both: MAML's inner step (Finn et al. 2017); x [N, ...], target [N, D] -> [P]"""
    tapped = _Tapped(net, where)
    return descend(lambda theta: (wide(pooled(at(tapped, theta, x)[1])) - target).square().mean(), flat(net), lr, 1)


class Adapting(nn.Module):
    """A network that takes one step towards what experts say of the rows it is asked about, all together, then answers, and
    forgets the step; [N, ...] -> [N, classes]"""

    def __init__(self, inner: nn.Module, experts: nn.Module, aggregator: nn.Module, where: At, lr: float) -> None:
        super().__init__()
        self.inner, self.experts, self.aggregator, self.where, self.lr = inner, experts, aggregator, where, lr

    def forward(self, x: Tensor) -> Tensor:
        target = wide(self.aggregator(self.experts(x))).detach()
        with torch.enable_grad():
            theta = towards(self.inner, self.where, x, target, self.lr).detach()
        return at(self.inner, theta, x)
