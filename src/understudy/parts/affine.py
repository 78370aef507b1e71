"""Pictures turned, sheared, zoomed and moved, the points in them likewise, and the way back. Chance comes from torch's own stream.

A way [N, 2, 3] says where a point goes, p -> A p + b. Points are (x, y) in [-1, 1], from edge to edge, so that one way holds for a
square picture, its heatmaps and its features alike.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def drawn(x: Tensor, degrees: float, zoom: float, shift: float) -> Tensor:
    """A way for each picture: turned by up to +-degrees, larger or smaller by up to that share, moved by up to that share of its
    side; [N, ...] -> [N, 2, 3]"""
    angle, size, right, down = (2 * torch.rand(4, len(x), device=x.device, dtype=x.dtype) - 1).unbind()
    angle, size = angle * math.radians(degrees), 1 + size * zoom
    cos, sin = angle.cos() * size, angle.sin() * size
    return torch.stack([torch.stack([cos, -sin, 2 * shift * right], -1), torch.stack([sin, cos, 2 * shift * down], -1)], 1)


def inverse(way: Tensor) -> Tensor:
    """The way back; [N, 2, 3] -> [N, 2, 3]"""
    (a, b), (c, d) = way[:, 0, :2].unbind(-1), way[:, 1, :2].unbind(-1)
    back = torch.stack([d, -b, -c, a], -1).view(-1, 2, 2) / (a * d - b * c)[:, None, None]
    return torch.cat([back, -back @ way[:, :, 2:]], -1)


def after(second: Tensor, first: Tensor) -> Tensor:
    """The way of one way behind another; [N, 2, 3] twice -> [N, 2, 3]"""
    turn = second[:, :, :2]
    return torch.cat([turn @ first[:, :, :2], turn @ first[:, :, 2:] + second[:, :, 2:]], -1)


def carried(points: Tensor, way: Tensor) -> Tensor:
    """Where points go; [N, K, 2], [N, 2, 3] -> [N, K, 2]"""
    return points @ way[:, :, :2].mT + way[:, None, :, 2]


def seen(x: Tensor, way: Tensor, outside: str = "border") -> Tensor:
    """Pictures after that way, read between four neighbours; what comes from outside is the repeated edge, or 0 where `outside` is
    'zeros'; [N, C, H, W], [N, 2, 3] -> [N, C, H, W]"""
    grid = F.affine_grid(inverse(way).to(x), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode=outside, align_corners=False)
