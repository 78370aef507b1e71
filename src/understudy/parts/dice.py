"""How well regions overlap."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from understudy.parts.divergence import wide


def dice(logits: Tensor, y: Tensor, where: Tensor, eps: float = 1e-10) -> Tensor:
    """1 - 2 sum(p y) / (sum p^2 + sum y^2), sums over all the pixels of `where` in the batch, mean over classes; 0 where there are
    none. Milletari et al. 2016, smoothed as in BCP's code; [N, C, H, W], [N, H, W] twice -> []"""
    p, here = wide(logits).softmax(1), where[:, None]
    true = F.one_hot(y.clamp(min=0), p.shape[1]).movedim(-1, 1) * here
    p = p * here
    over = tuple(d for d in range(p.dim()) if d != 1)
    both, total = (p * true).sum(over), (p.square() + true).sum(over)
    return 1 - ((2 * both + eps) / (total + eps)).mean()


def pixel_cross_entropy(logits: Tensor, y: Tensor, where: Tensor) -> Tensor:
    """Mean over the pixels of `where`, 0 where there are none; [N, C, H, W], [N, H, W] twice -> []"""
    each = F.cross_entropy(wide(logits), y.clamp(min=0), reduction="none")
    return (each * where).sum() / where.sum().clamp(min=1)


def segmentation(logits: Tensor, y: Tensor, where: Tensor) -> Tensor:
    """(Dice + cross-entropy) / 2 over the pixels of `where`; [N, C, H, W], [N, H, W] twice -> []"""
    return (dice(logits, y, where) + pixel_cross_entropy(logits, y, where)) / 2
