"""Back to the weights that a network began with: some of its numbers at once, or all of them by a spring."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def flat(net: nn.Module) -> Tensor:
    """All weights as one vector, through which gradients flow; -> [P]"""
    return torch.cat([p.flatten() for p in net.parameters()])


def squared_gradient(net: nn.Module) -> Tensor:
    """Of the weights, as the last step found it: the Fisher information of a batch as far as its diagonal goes, estimated by one
    gradient; 0 where there is none; -> [P]"""
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in net.parameters()]
    return torch.cat([g.flatten() for g in grads]).square()


def fisher(net: nn.Module, losses: Iterable[Tensor]) -> Tensor:
    """The mean of the squared gradients of some batches' losses, as elastic weight consolidation takes it; Kirkpatrick et al.
    2017; -> [P]"""
    params, total, count = list(net.parameters()), torch.zeros_like(flat(net).detach()), 0
    for loss in losses:
        grads = torch.autograd.grad(loss, params, allow_unused=True, materialize_grads=True)
        total += torch.cat([g.flatten() for g in grads]).square()
        count += 1
    return total / max(count, 1)


def at_random(net: nn.Module, share: float) -> Tensor:
    """Each weight with that probability, by torch's own stream: the stochastic restore of Wang et al. 2022; -> [P] bool"""
    like = flat(net).detach()
    return torch.rand_like(like) < share


def least(importance: Tensor, share: float) -> Tensor:
    """The weights that matter less than the quantile of that share, which lies on the line between two of them where it falls there;
    Brahma and Rai 2023; [P] -> [P] bool"""
    place = share * (len(importance) - 1)
    low = int(place)
    a, b = (importance.kthvalue(min(k, len(importance) - 1) + 1).values for k in (low, low + 1))
    return importance < a + (b - a) * (place - low)


@torch.no_grad()
def put_(net: nn.Module, weights: Tensor, where: Tensor | None = None) -> None:
    """Set the weights, all or those marked; buffers stay; [P], [P] bool"""
    params = list(net.parameters())
    sizes = [p.numel() for p in params]
    new = weights if where is None else torch.where(where, weights, flat(net))
    for p, part in zip(params, torch.split(new, sizes), strict=True):
        p.copy_(part.view_as(p))


def penalty(net: nn.Module, centre: Tensor, precision: Tensor) -> Tensor:
    """1/2 sum precision (weights - centre)^2, minus the logarithm of a Gaussian prior: with the precision of a source's Fisher
    information elastic weight consolidation, with 1 / variance a SWAG posterior; [P], [P] -> []"""
    return (precision * (flat(net) - centre).square()).sum() / 2
