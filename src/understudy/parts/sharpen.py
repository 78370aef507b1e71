"""A teacher's answers made surer, or more even over the classes, before a student learns them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from understudy.parts.divergence import wide
from understudy.parts.memory import Ring
from understudy.parts.transport import sinkhorn


def sharpened(p: Tensor, t: float) -> Tensor:
    """p^(1/t) over its sum: t below 1 makes probabilities surer, 1 leaves them; in logarithms, so nothing underflows.
    Berthelot et al. 2019, eq. 7; [..., C] -> [..., C]"""
    return (wide(p).log() / t).softmax(-1)


def evened(logits: Tensor, t: float = 0.05, rounds: int = 3) -> Tensor:
    """Answers of a batch in which every class has the same share, by Sinkhorn and Knopp: in each round classes, then rows are
    made to sum to 1. Caron et al. 2020 (SwAV); [N, C] -> [N, C], rows that sum to 1"""
    return sinkhorn(-wide(logits).T, t, rounds).T


def aligned(p: Tensor, target: Tensor, mean: Tensor) -> Tensor:
    """Probabilities times target / mean, over their sum: on average they become the target. A class of which the mean knows
    nothing stays as it is. Berthelot et al. 2020, section 3.1; [N, C], [C] twice -> [N, C]"""
    p = wide(p)
    turned = p * torch.where(mean > 0, target.to(p) / mean.to(p).clamp(min=1e-12), 1.0)
    total = turned.sum(-1, keepdim=True)
    return torch.where(total > 0, turned / total.clamp(min=1e-30), p)


class Alignment(nn.Module):
    """ReMixMatch's distribution alignment: `target` is how frequent the classes are where labels are known, and the mean that
    of the answers of the last `batches` batches before this one; p itself before the first."""

    target: Tensor

    def __init__(self, target: Tensor, batches: int = 128) -> None:
        """target [C], which sums to 1"""
        super().__init__()
        self.register_buffer("target", target.to(torch.get_default_dtype()))
        self.past = Ring(batches, len(target))

    def forward(self, p: Tensor) -> Tensor:
        """[N, C] -> [N, C]"""
        past = self.past.filled()
        return aligned(p, self.target, past.mean(0)) if len(past) else p

    def add(self, p: Tensor) -> None:
        """The answers of a batch, before they were aligned; [N, C] ->; no rows change nothing"""
        if len(p):
            self.past.push(p.detach().mean(0, keepdim=True))


class Centre(nn.Module):
    """DINO's centring and sharpening (Caron et al. 2021): a running mean of the teacher's logits is taken off them, so that no
    class is everybody's answer, and a low temperature keeps the answers from becoming even.

        c <- m c + (1 - m) mean_i z_i      p = softmax((z - c) / t)
    """

    c: Tensor

    def __init__(self, width: int, m: float = 0.9) -> None:
        super().__init__()
        self.m = m
        self.register_buffer("c", torch.zeros(width))

    def forward(self, logits: Tensor, t: float) -> Tensor:
        """[N, C] -> [N, C], rows that sum to 1"""
        z = wide(logits)
        return ((z - self.c.to(z)) / t).softmax(-1)

    def add(self, logits: Tensor) -> None:
        """[N, C] ->; no rows change nothing"""
        if len(logits):
            self.c.lerp_(wide(logits.detach()).mean(0).to(self.c), 1 - self.m)
