"""Clouds of points, turned, stretched, shaken and in part; by torch's own stream, a row by itself."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def near(x: Tensor, least: float, most: float, points: int) -> Tensor:
    """Of each cloud the share between `least` and `most` (uniform) that is nearest to one of its points, any as likely as the next,
    and of those `points`, drawn with replacement; [N, P, D] -> [N, points, D]"""
    n, p, d = x.shape
    share = least + (max(most, least) - least) * torch.rand(n, 1, device=x.device, dtype=x.dtype)
    middle = x.gather(1, torch.randint(p, (n, 1, 1), device=x.device).expand(-1, 1, d))
    order = (x - middle).square().sum(-1).argsort(1)
    count = (share * p).ceil().clamp(1, p)
    pick = order.gather(1, (torch.rand(n, points, device=x.device, dtype=x.dtype) * count).long().clamp(max=p - 1))
    return x.gather(1, pick[..., None].expand(-1, -1, d))


def shaken(x: Tensor, degrees: float, stretch: float, noise: float) -> Tensor:
    """Turned about the third axis by up to +-degrees, each axis longer or shorter by up to that share, and each point moved by noise
    of that standard deviation; [N, P, 3] -> [N, P, 3]"""
    drawn = 2 * torch.rand(len(x), 4, device=x.device, dtype=x.dtype) - 1
    angle = math.radians(degrees) * drawn[:, 0]
    cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    turn = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], -1).view(-1, 3, 3)
    return (x @ turn.mT) * (1 + stretch * drawn[:, None, 1:]) + noise * torch.randn_like(x)
