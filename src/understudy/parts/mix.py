"""Two pictures in one."""

from __future__ import annotations

import torch
from torch import Tensor


def window(height: int, width: int, share: float, device: torch.device | None = None) -> Tensor:
    """A mask that is False inside a rectangle of `share` of each side (rounded down), anywhere, and True around it: M of BCP
    (Bai et al. 2023, eq. 1); from torch's own stream; -> [H, W]"""
    h, w = int(height * share), int(width * share)
    top, left = (int(torch.randint(0, n + 1, ())) for n in (height - h, width - w))
    mask = torch.ones(height, width, dtype=torch.bool, device=device)
    mask[top : top + h, left : left + w] = False
    return mask


def paste(around: Tensor, inside: Tensor, mask: Tensor) -> Tensor:
    """around . M + inside . (1 - M), of pictures and of labels alike; [N, ..., H, W] twice, [H, W] -> [N, ..., H, W]"""
    return torch.where(mask, around, inside)
