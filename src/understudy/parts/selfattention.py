"""How the tokens of a sequence regard one another inside a transformer. No width is compared, only the number of heads.

Queries, keys and values are read whole, [N, L, D] with all heads side by side; mask [N, L] is True where no padding is.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from understudy.core.errors import refuse
from understudy.parts.divergence import wide


def heads_of(x: Tensor, heads: int) -> Tensor:
    """Split in heads, whatever number a network has (Wang et al. 2021, section 3.1); [N, L, D] -> [N, heads, L, D / heads]"""
    if x.shape[-1] % heads:
        raise refuse("heads", heads, f"a divisor of the width tapped, {x.shape[-1]}")
    return x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)


def real(x: Any, like: Tensor) -> Tensor:
    """Which tokens of an input aren't padding: its attention_mask, or all of them where it has none; -> bool [N, L]"""
    if isinstance(x, dict) and "attention_mask" in x:
        mask: Tensor = x["attention_mask"] > 0
        return mask
    return torch.ones(like.shape[:2], dtype=torch.bool, device=like.device)


def scores(a: Tensor, b: Tensor, heads: int) -> Tensor:
    """a b^T / sqrt(D / heads), a head apart; of queries and keys the attention before its softmax; -> [N, heads, L, L]"""
    a, b = heads_of(a, heads), heads_of(b, heads)
    return wide(a @ b.mT) / math.sqrt(a.shape[-1])


def scores_mse(p: Tensor, q: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference over heads and pairs of real tokens (Jiao et al. 2020, eq. 7); [N, heads, L, L] twice -> []"""
    both = mask[:, None, :, None] & mask[:, None, None, :]
    return (p - q).square().mean(1, keepdim=True)[both].mean()


def relation(a: Tensor, b: Tensor, mask: Tensor, heads: int) -> Tensor:
    """log softmax(a b^T / sqrt(D / heads)) over real tokens, a head apart; [N, L, D], [N, L, D] -> [N, heads, L, L]

    Queries and keys give the attention distribution, values and values their relation (Wang et al. 2020, eq. 6 and 8).
    """
    found = scores(a, b, heads)
    return found.masked_fill(~mask[:, None, None], torch.finfo(found.dtype).min / 2).log_softmax(-1)


def relation_kl(p: Tensor, q: Tensor, mask: Tensor) -> Tensor:
    """KL(p || q), mean over heads and real tokens, then over rows (Wang et al. 2020, eq. 7 and 9); log [N, heads, L, L] -> []"""
    rows = F.kl_div(q, p, reduction="none", log_target=True).sum(-1).mean(1) * mask
    return (rows.sum(1) / mask.sum(1).clamp(min=1)).mean()
