"""Sides of a box as classes: the picture is cut into equal strips, and a softmax over them says where a side is and how surely.

Boxes [..., 4] are (left, top, right, bottom) in pixels of a square picture; ACTRESS's quantised head, Kang et al. 2024.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from understudy.parts.boxes import iou
from understudy.parts.divergence import wide


def strips(boxes: Tensor, side: int, bins: int) -> Tensor:
    """The strip that each side lies in, NaN as 0; [..., 4] -> [..., 4], 0 ... bins-1"""
    return (boxes.nan_to_num() * bins / side).long().clamp(0, bins - 1)


def middles(logits: Tensor, side: int) -> Tensor:
    """Each side in the middle of its likeliest strip; [..., 4, K] -> [..., 4]"""
    return (logits.argmax(-1) + 0.5).to(wide(logits)) * side / logits.shape[-1]


def certainty(logits: Tensor) -> Tensor:
    """Mean over sides of the likeliest strip's probability; [..., 4, K] -> [...]"""
    return wide(logits).softmax(-1).amax(-1).mean(-1)


def box_losses(box: Tensor, logits: Tensor, y: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """How far a box is off, in shares of the picture's side summed over its sides, plus 1 - IoU; and the cross-entropy of the strips,
    mean over sides. Means over rows whose box is known (not NaN), 0 without one; box, y [N, 4], logits [N, 4, K] -> [], []"""
    known = y.isfinite().all(-1)
    y = y.nan_to_num().to(wide(box))

    def mean(each: Tensor) -> Tensor:
        return (each * known).sum() / known.sum().clamp(min=1)

    overlap = iou(wide(box)[:, None], y[:, None])[:, 0, 0]
    off = (wide(box) - y).abs().sum(-1) / side + 1 - overlap
    strip = F.cross_entropy(wide(logits).flatten(0, 1), strips(y, side, logits.shape[-1]).flatten(), reduction="none")
    return mean(off), mean(strip.view(-1, 4).mean(1))
