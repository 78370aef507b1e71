"""Several networks as one teacher: the mixture of what they believe."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from understudy.core.errors import refuse

TASKS = ("classify", "multilabel", "regress")


class Ensemble(nn.Module):
    """x -> log of the mixture of its members' probabilities, [N,C] (multilabel: its log-odds; regress: the weighted mean).

    weights: 'mean'; a positive number a member (they are made to sum to 1); or 'entropy': per row in proportion to exp(-H_k), so
    that whoever is surer counts more. Computed in float32 or wider; finite wherever the members' answers are.
    """

    def __init__(self, nets: Iterable[nn.Module], weights: str | Sequence[float] = "mean", task: str = "classify") -> None:
        super().__init__()
        nets = list(nets)
        if not all(isinstance(net, nn.Module) for net in nets):
            raise refuse(
                "ensemble.nets",
                [type(net).__name__ for net in nets],
                "networks",
                "`understudy.models.load` makes some of addresses",
            )
        self.nets = nn.ModuleList(nets)
        if not len(self.nets):
            raise refuse("ensemble.nets", [], "at least one network")
        if task not in TASKS:
            raise refuse("ensemble.task", task, f"one of {', '.join(TASKS)}")
        if isinstance(weights, str):
            if weights not in ("mean", "entropy"):
                raise refuse("ensemble.weights", weights, "'mean', 'entropy' or a number a member")
            if weights == "entropy" and task == "regress":
                raise refuse(
                    "ensemble.weights", weights, "'mean' or a number a member for task=regress", "a single number has no entropy"
                )
        elif not isinstance(weights, (tuple, list)) or len(weights) != len(self.nets) or not all(_positive(w) for w in weights):
            raise refuse(
                "ensemble.weights",
                weights,
                f"{len(self.nets)} positive numbers, one a member",
                "leave out who counts nothing",
            )
        self.weights = weights if isinstance(weights, str) else tuple(float(w) / sum(weights) for w in weights)
        self.task = task

    def forward(self, x: Any) -> Tensor:
        outs = [net(x) for net in self.nets]
        shapes = [tuple(o.shape) for o in outs]
        if len(set(shapes)) > 1:
            raise refuse("ensemble.nets", shapes, "answers of one shape", "all members have to know the same classes")
        z = torch.stack([o.float() if o.dtype in (torch.float16, torch.bfloat16) else o for o in outs])  # [K,N,C]
        if self.task == "regress":
            return (self._shares(z).exp() * z).sum(0)
        if self.task == "multilabel":
            yes, no = F.logsigmoid(z), F.logsigmoid(-z)
            w = self._shares(z, -(yes.exp() * yes + no.exp() * no).sum(-1))
            return torch.logsumexp(w + yes, 0) - torch.logsumexp(w + no, 0)
        logp = z.log_softmax(-1)
        return torch.logsumexp(self._shares(z, -(logp.exp() * logp).sum(-1)) + logp, 0)

    def _shares(self, z: Tensor, entropy: Tensor | None = None) -> Tensor:
        """Log weights, [K,1,1] or [K,N,1]."""
        if self.weights == "entropy" and entropy is not None:
            return torch.log_softmax(-entropy, 0)[..., None]
        if isinstance(self.weights, str):
            return z.new_full((len(z), 1, 1), -math.log(len(z)))
        return z.new_tensor(self.weights).log()[:, None, None]


def _positive(w: object) -> bool:
    return isinstance(w, (int, float)) and not isinstance(w, bool) and 0 < w < math.inf
