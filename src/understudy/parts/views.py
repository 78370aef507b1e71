"""Pictures seen weakly or strongly changed, and where everything went. Chance comes from torch's own stream, a row by itself.

A view [N, 4] is (scale_x, scale_y, shift_x, shift_y) in pixels, as `parts.boxes.carried` takes it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from understudy.parts.augment import noisy, recoloured


def drawn(x: Tensor, zoom: float, shift: float, mirror: float = 0.0) -> Tensor:
    """A view of each picture: larger or smaller by up to that share about its middle, moved by up to that share of its side, mirrored
    with that probability; [N, C, H, W] -> [N, 4]"""
    n, side = len(x), torch.tensor([x.shape[-1], x.shape[-2]], device=x.device, dtype=x.dtype)
    change = 2 * torch.rand(n, 3, device=x.device, dtype=x.dtype) - 1
    scale = (1 + zoom * change[:, :1]).repeat(1, 2)
    scale[:, 0] *= torch.where(torch.rand(n, device=x.device) < mirror, -1.0, 1.0).to(x)
    return torch.cat([scale, side * (1 - scale) / 2 + shift * side * change[:, 1:]], -1)


def seen(x: Tensor, view: Tensor) -> Tensor:
    """The pictures as the views show them, read between four neighbours, the edge repeated outside; [N, C, H, W] -> [N, C, H, W]"""
    side = torch.tensor([x.shape[-1], x.shape[-2]], device=x.device, dtype=x.dtype)
    scale, shift = 1 / view[:, :2], -view[:, 2:] / view[:, :2]  # from where in x each pixel is taken
    offset = (2 * shift / side - 1) + scale  # in units where the picture reaches from -1 to 1
    rows = torch.stack([torch.stack([scale[:, 0], 0 * scale[:, 0], offset[:, 0]], -1),
                        torch.stack([0 * scale[:, 1], scale[:, 1], offset[:, 1]], -1)], 1)  # fmt: skip
    return F.grid_sample(x, F.affine_grid(rows, list(x.shape), align_corners=False), padding_mode="border", align_corners=False)


def erased(x: Tensor, count: int, share: float) -> Tensor:
    """Each picture with `count` rectangles of up to that share of its sides at its mean; [N, C, H, W] -> [N, C, H, W]"""
    n, sides = len(x), x.shape[-2:]
    for _ in range(count):
        inside = torch.ones((), dtype=torch.bool, device=x.device)
        for axis, side in enumerate(sides):
            length, begin = share * side * torch.rand(n, 1, device=x.device), side * torch.rand(n, 1, device=x.device)
            place = torch.arange(side, device=x.device) + 0.5
            within = (place > begin) & (place < begin + length)
            inside = inside & (within[:, None, :, None] if axis == 0 else within[:, None, None, :])
        x = torch.where(inside, x.mean((1, 2, 3), keepdim=True), x)
    return x


def weak(x: Tensor, zoom: float = 0.1, shift: float = 0.05) -> tuple[Tensor, Tensor]:
    """A little larger or smaller, a little aside; [N, C, H, W] -> picture [N, C, H, W], view [N, 4]"""
    view = drawn(x, zoom, shift)
    return seen(x, view), view


def strong(x: Tensor, zoom: float = 0.25, shift: float = 0.1, colour: float = 0.4, noise: float = 0.1) -> tuple[Tensor, Tensor]:
    """The same more so, in other light, noisy, and with two parts hidden; [N, C, H, W] -> picture [N, C, H, W], view [N, 4]"""
    view = drawn(x, zoom, shift)
    return erased(noisy(recoloured(seen(x, view), colour), noise), 2, 0.2), view
