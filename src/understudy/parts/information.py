"""How much two networks' features of the same rows tell of one another."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from understudy.parts.divergence import mean, wide


def mi_alpha(f: Tensor, alpha: float, log_q: float = 0.0) -> Tensor:
    """A lower bound on mutual information between InfoNCE (alpha 1, at most log N) and the unnormalised bound with baseline q
    (alpha 0, of more variance), Poole et al. 2019 (arXiv:1905.06922), with the critic f_ij of row i and answer j; [N, N] -> []

    1 + mean_j log (e^f_jj / d_j) - mean_{i != j} e^f_ij / d'_j, d_j = alpha mean_k e^f_kj + (1 - alpha) q, and d' without k = j:
    in the second mean answer j has nothing to do with the rows.
    """
    f, n = wide(f), len(f)
    itself = torch.eye(n, dtype=torch.bool, device=f.device)
    rest = f.new_tensor(math.log1p(-alpha) + log_q if alpha < 1 else -math.inf)

    def floor(logs: Tensor, k: int) -> Tensor:
        return torch.logaddexp(logs.logsumexp(0) + math.log(alpha / k), rest) if alpha > 0 else rest.expand(n)

    joint = mean(f.diagonal() - floor(f, n), False)
    if n < 2:
        return joint  # there is no other row
    apart = (f - floor(f.masked_fill(itself, -math.inf), n - 1)).exp().masked_fill(itself, 0)
    bound: Tensor = 1 + joint - apart.sum() / (n * (n - 1))
    return bound


def cka(a: Tensor, b: Tensor, eps: float = 1e-12) -> Tensor:
    """Linear centred kernel alignment, |B'A|^2 / |A'A| |B'B| of the centred: 1 where one is a turned and scaled copy of the other
    (Kornblith et al. 2019, arXiv:1905.00414); [N, D], [N, E] -> []"""
    a, b = (wide(x) - wide(x).mean(0) for x in (a, b))
    both: Tensor = (b.T @ a).square().sum()
    sizes: Tensor = torch.linalg.matrix_norm(a.T @ a) * torch.linalg.matrix_norm(b.T @ b)
    alike: Tensor = both / sizes.clamp_min(eps)
    return alike
