"""How alike two networks are before either has learned anything: what classes look at, and what rows say about one another."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from understudy.parts.divergence import wide
from understudy.parts.relation import gram, tokens


def reborn(net: nn.Module) -> nn.Module:
    """The same architecture at a new random start, from the current stream, in training mode: every module that has `reset_parameters`
    does so. What was hooked to the network itself (a view of its input, say) stays behind."""
    made = copy.deepcopy(net).train().requires_grad_(True)
    made._forward_pre_hooks.clear()
    made._forward_hooks.clear()
    for module in made.modules():
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()
    return made


def cams(out: Tensor, features: Tensor) -> Tensor:
    """Class-activation maps: features summed over channels, each by the mean gradient that a class's logit has at it (Grad-CAM
    without its ReLU, of which a random network has nothing to hide); out [N, C] from maps [N, F, H, W] or tokens [N, L, F] ->
    [C, N, L]. The graph from the features to the logits must be there."""
    seen = tokens(wide(features.detach()))
    maps = []
    for logit in out.unbind(1):
        (slope,) = torch.autograd.grad(logit.sum(), features, retain_graph=True)
        weight = tokens(wide(slope)).mean(1, keepdim=True)
        maps.append((seen * weight).sum(-1))
    return torch.stack(maps)


def semantics(out: Tensor, features: Tensor) -> Tensor:
    """Which classes look at the same places: the Gram matrix of class-activation maps over a batch; -> [C, C]"""
    return gram(cams(out, features))


def gap(a: Tensor, b: Tensor) -> float:
    """The L2 norm of a difference of matrices."""
    return float((a - b).norm())
