"""Connected regions of a map of labels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def components(mask: Tensor) -> Tensor:
    """A number for each 8-connected region, the same at all of its pixels, 0 outside the mask; [N, H, W] -> [N, H, W]

    Every pixel begins with a number of its own, and takes the largest beside it until nothing changes.
    """
    numbers = torch.arange(1, mask[0].numel() + 1, device=mask.device, dtype=torch.float).view(1, *mask.shape[1:]) * mask
    while True:
        grown = F.max_pool2d(numbers, 3, 1, 1) * mask
        if torch.equal(grown, numbers):
            return numbers.long()
        numbers = grown


def largest(y: Tensor, classes: int) -> Tensor:
    """Labels with the largest region of each class only, the rest being class 0; [N, H, W] of 0 .. classes-1 -> [N, H, W]"""
    if not len(y) or classes < 2:
        return y
    own = (y[:, None] == torch.arange(1, classes, device=y.device).view(-1, 1, 1)).flatten(0, 1)
    region = components(own).flatten(1)
    sizes = region.new_zeros(len(region), region.shape[1] + 1).scatter_add_(1, region, torch.ones_like(region))
    sizes[:, 0] = -1  # outside is no region
    kept = (region == sizes.argmax(1, keepdim=True)).view(len(y), classes - 1, *y.shape[1:])
    return y * kept.any(1)
