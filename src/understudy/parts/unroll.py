"""Training as a function: a network's parameters as one vector, and where descent takes it. Every `loss` maps a vector [P] to []."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, grad_and_value

Loss = Callable[[Tensor], Tensor]


def flat(net: nn.Module) -> Tensor:
    """All parameters of a network as one vector; -> [P]"""
    return torch.cat([p.flatten() for p in net.parameters()])


def at(net: nn.Module, theta: Tensor, x: Tensor) -> Tensor:
    """net(x) as if theta were its parameters; [P], [N, ...] -> [N, ...]"""
    names, own = zip(*net.named_parameters())
    parts = torch.split(theta, [p.numel() for p in own])
    return functional_call(net, {n: v.view_as(p) for n, v, p in zip(names, parts, own)}, x)  # type: ignore[no-any-return]


def descend(loss: Loss, theta: Tensor, lr: Tensor | float, steps: int) -> Tensor:
    """Where plain gradient descent ends, differentiable in theta, lr and all that `loss` closes over; [P] -> [P]"""
    theta = theta if theta.requires_grad else theta.detach().requires_grad_()
    for _ in range(steps):
        (g,) = torch.autograd.grad(loss(theta), theta, create_graph=True)
        theta = theta - lr * g
    return theta


def flatward(loss: Loss, theta: Tensor, rho: float, alpha: float, eps: float = 1e-12) -> tuple[Tensor, Tensor]:
    """The loss, and a gradient towards flat minima: GSAM (Zhuang et al., 2022) in the neighbourhood of ASAM (Kwon et al., 2021).

    g is the gradient at theta, h that at theta + rho theta^2 g / ||theta g||; the answer is h - alpha (the part of g across h),
    and g itself at rho = 0. [P] -> [], [P]
    """
    g, value = grad_and_value(loss)(theta)
    h = grad(loss)(theta + rho * theta.square() * g / ((theta * g).norm() + eps))
    cosine = (g * h).sum() / (g.norm() * h.norm() + eps)
    return value, h - alpha * (g - cosine * g.norm() * h / (h.norm() + eps))


def led(value: Tensor, theta: Tensor, direction: Tensor) -> Tensor:
    """A term with this value whose gradient in theta is `direction`: for a step that isn't along any loss's own gradient; -> []"""
    along = (theta * direction.detach()).sum()
    return value.detach() + along - along.detach()
