"""Two models that have different words: what can be compared all the same."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from understudy.core.errors import refuse
from understudy.parts.divergence import mean, nll
from understudy.parts.lazy import Lazy

ROWS = 128  # places whose probabilities are there at a time


def ranked_distance(p: Lazy, q: Lazy, *, each: bool = False) -> Tensor:
    """sum_i |p_(i) - q_(i)| of probabilities sorted from large to small, the shorter filled up with zeros, at the places both were asked for.

    The Wasserstein distance of order 1 between distributions whose words have no names (Boizard et al. 2024, arXiv:2402.12030, eq. 5);
    in [0, 2]; Lazy [N, L, V], Lazy [N, L', V'] -> []. No gradient enters p. Raises `Refused` where they were asked at different numbers of places.
    """
    p, q = p.detach().rows(), q.rows()
    if len(p) != len(q):
        raise refuse("p", f"{len(p)} places", f"the {len(q)} that the student was asked for", "align the two texts")
    words = max(p.size, q.size)

    def ranks(z: Lazy) -> Tensor:
        sorted_ = z.dense().softmax(-1).sort(-1, descending=True).values
        return torch.nn.functional.pad(sorted_, (0, words - z.size))

    def part(rows: slice) -> Tensor:
        return (ranks(p.each(lambda h: h[rows])) - ranks(q.each(lambda h: h[rows]))).abs().sum(-1)

    parts = [checkpoint(part, slice(i, i + ROWS), use_reentrant=False) for i in range(0, len(q), ROWS)]
    return mean(torch.cat(parts) if parts else q.hidden.new_zeros(0) + 0 * q.hidden.sum(), each)


def span_logp(q: Lazy, y: Tensor, span: Tensor, spans: int) -> Tensor:
    """Log-probability of stretches of text, each the sum of its tokens'; y [N, L] the next tokens, span [N, L] which stretch of its row they belong
    to, -1 = none; -> [N, spans], 0 where a row has no such stretch."""
    hidden = torch.where(span >= 0, y, -1)
    cost, known = nll(q, hidden, each=True), hidden >= 0
    at = (torch.arange(len(y), device=y.device)[:, None] * spans + span)[known]
    return -cost.new_zeros(len(y) * spans).index_add(0, at, cost).view(len(y), spans)


def likelihood_match(p: Tensor, q: Tensor, t: float) -> Tensor:
    """Binary KL between a stretch's likelihoods p^(1/t) and q^(1/t), from their logs (Minixhofer et al. 2025, arXiv:2503.20083); [...], [...] -> [...]"""
    lp, lq = (p / t).clamp(max=-1e-6), (q / t).clamp(max=-1e-6)
    p_no, q_no = torch.log(-torch.expm1(lp)), torch.log(-torch.expm1(lq))
    return lp.exp() * (lp - lq) - torch.expm1(lp) * (p_no - q_no)
