"""Bags of visual words, whose vocabulary follows the features it is made of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from understudy.parts.divergence import wide
from understudy.parts.memory import Ring


class Vocabulary(nn.Module):
    """The last `words` local features that were met, one a picture, random before the first; OBoW (Gidaris et al. 2021, section 3.2).

        q_k(u) = softmax over k of -|u - w_k|^2 / (delta spread)      bag_k = max over places q_k / its sum over k

    spread: a running mean of the squared distance from a place to its nearest word, which delta is measured in.
    """

    spread: Tensor

    def __init__(self, words: int, width: int, delta: float = 1 / 15, m: float = 0.99) -> None:
        super().__init__()
        self.delta, self.m = delta, m
        self.ring = Ring(words, width)
        self.ring.rows.copy_(torch.randn(words, width).clamp(min=0))
        self.register_buffer("spread", torch.tensor(0.5))

    def forward(self, f: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, words], rows that sum to 1"""
        far = self.distances(f)
        q = (-far / (self.delta * self._follow(far).clamp(min=1e-6))).softmax(-1)
        return F.normalize(q.amax(1), p=1, dim=-1)

    def add(self, f: Tensor) -> None:
        """Of each picture one place, drawn from torch's own stream, takes that of the oldest word, averaged with its eight neighbours
        where the map is 3 x 3 or more; [N, C, H, W] ->"""
        self.spread.copy_(self._follow(self.distances(f)))
        places = (F.avg_pool2d(f, 3, 1) if min(f.shape[2:]) >= 3 else f).flatten(2)
        pick = torch.randint(places.shape[2], (len(f), 1, 1), device=f.device).expand(-1, f.shape[1], 1)
        self.ring.push(places.gather(2, pick)[..., 0])

    def distances(self, f: Tensor) -> Tensor:
        """Squared, from each place to each word; [N, C, H, W] -> [N, H W, words]"""
        u = wide(f).flatten(2).mT
        w = self.ring.rows.to(u)
        return (u.square().sum(-1, keepdim=True) - 2 * u @ w.T + w.square().sum(-1)).clamp(min=0)

    def _follow(self, far: Tensor) -> Tensor:
        return self.spread.to(far).lerp(far.amin(-1).mean(), 1 - self.m)
