"""The same pictures, seen a little differently. Each row draws its own change, from torch's own stream."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def recoloured(x: Tensor, jitter: float) -> Tensor:
    """Contrast times 1 +- jitter around a row's mean, then brightness +- jitter standard deviations; [N, ...] -> [N, ...]"""
    of_row = (-1, *(1 for _ in x.shape[1:]))
    contrast, brightness = (
        (jitter * (2 * torch.rand(len(x), device=x.device, dtype=x.dtype) - 1)).view(of_row) for _ in range(2)
    )
    flat = x.flatten(1)
    mean, std = flat.mean(1).view(of_row), flat.std(1, correction=0).view(of_row)
    return mean + (1 + contrast) * (x - mean) + brightness * std


def moved(x: Tensor, degrees: float, shift: float, zoom: float) -> Tensor:
    """Turned by up to +-degrees, shifted by up to that share of the side, zoomed by 1 +- zoom, edges repeated;
    [N, C, H, W] -> [N, C, H, W]"""
    angle, right, down, size = (2 * torch.rand(4, len(x), device=x.device, dtype=x.dtype) - 1).unbind()
    angle, size = angle * math.radians(degrees), 1 + size * zoom
    cos, sin = angle.cos() / size, angle.sin() / size
    rows = torch.stack([torch.stack([cos, -sin, 2 * shift * right], -1), torch.stack([sin, cos, 2 * shift * down], -1)], 1)
    grid = F.affine_grid(rows, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def noisy(x: Tensor, noise: float) -> Tensor:
    """Plus Gaussian noise of that standard deviation, in units of x; [N, ...] -> [N, ...]"""
    return x + noise * torch.randn_like(x)


def jittered(x: Tensor) -> Tensor:
    """Pictures recoloured, moved and noisy at once, as much as is usual while a model is in use (Wang et al. 2022), without their flip, gamma,
    hue and blur; other rows recoloured and noisy; [N, ...] -> the same shape"""
    seen = recoloured(x, 0.3)
    return noisy(moved(seen, 15.0, 1 / 16, 0.1) if x.dim() == 4 else seen, 0.005)
