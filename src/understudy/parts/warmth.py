"""A temperature for every place, and noise on what a teacher says there, of answers that are lazy or not."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from understudy.core.errors import refuse
from understudy.parts.lazy import Head, Lazy, wide


def warmed(z: Tensor | Lazy, t: Tensor) -> Tensor | Lazy:
    """z / t with a temperature a place; [..., V], [...] -> [..., V]

    Logits are linear in hidden states, so a lazy answer stays lazy: its hidden states are divided, and a bias is taken in as one more of
    them. Raises `Refused` for a soft-capped head, whose logits are not linear.
    """
    if isinstance(z, Tensor):
        return wide(z) / t[..., None]
    return replace(z, heads=tuple(_warmed(head, t) for head in z.heads))


def _warmed(head: Head, t: Tensor) -> Head:
    if head.cap is not None:
        raise refuse("lazy.cap", head.cap, "no soft cap where every place has its own temperature", "use one temperature")
    h, w = wide(head.hidden) / t[..., None], wide(head.weight)
    if head.bias is None:
        return replace(head, hidden=h, weight=w)
    return replace(
        head, hidden=torch.cat([h, (1 / t)[..., None].to(h)], -1), weight=torch.cat([w, wide(head.bias)[:, None]], -1), bias=None
    )


def noisy(z: Tensor | Lazy, scale: float, rank: int = 64) -> Tensor | Lazy:
    """z and Gaussian noise of standard deviation `scale` on every logit, from torch's own stream; [..., V] -> [..., V]

    A lazy answer's noise is lazy too: a head of random words and random hidden states of so many numbers, so that two words' noises are
    not quite apart (their correlation is about rank^-1/2 in one draw, and 0 on average).
    """
    if scale == 0:
        return z
    if isinstance(z, Tensor):
        return wide(z) + scale * torch.randn_like(wide(z))
    like = wide(z.hidden.detach())
    hidden = torch.randn(*like.shape[:-1], rank, device=like.device, dtype=like.dtype) * (scale / math.sqrt(rank))
    return z + Lazy((Head(hidden, torch.randn(z.size, rank, device=like.device, dtype=like.dtype)),), z.size, z.asked)
