"""Random cut-outs of pictures, as self-supervised methods look at them; by torch's own stream, a row by itself."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from understudy.parts.augment import noisy, recoloured


def cropped(x: Tensor, least: float, most: float, share: float = 1.0, ratio: float = 4 / 3) -> Tensor:
    """A rectangle of between `least` and `most` of each picture's area (uniform), of a ratio of sides between 1/ratio and ratio
    (uniform in its logarithm), anywhere within it, read between four neighbours; the new sides are that share of the old ones,
    at least 4 pixels. Szegedy et al. 2015; [N, C, H, W] -> [N, C, h, w]"""
    area, lean, right, down = torch.rand(4, len(x), device=x.device, dtype=x.dtype).unbind()
    area = least + (max(most, least) - least) * area
    lean = (math.log(ratio) * (2 * lean - 1)).exp().sqrt()
    sides = torch.stack([area.sqrt() * lean, area.sqrt() / lean], -1).clamp(max=1)  # width and height, as shares
    middle = (1 - sides) * (2 * torch.stack([right, down], -1) - 1)  # in units where the picture reaches from -1 to 1
    zero = torch.zeros_like(area)
    rows = torch.stack(
        [torch.stack([sides[:, 0], zero, middle[:, 0]], -1), torch.stack([zero, sides[:, 1], middle[:, 1]], -1)], 1
    )
    size = [*x.shape[:2], *(min(s, max(4, round(share * s))) for s in x.shape[2:])]
    return F.grid_sample(x, F.affine_grid(rows, size, align_corners=False), padding_mode="border", align_corners=False)


def glimpse(x: Tensor, least: float, most: float, share: float = 1.0, colour: float = 0.2, noise: float = 0.1) -> Tensor:
    """A crop in other light and with noise, both in units of values around 1; [N, C, H, W] -> [N, C, h, w]"""
    return noisy(recoloured(cropped(x, least, most, share), colour), noise)
