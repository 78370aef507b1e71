"""Pictures seen weakly or strongly changed, and where everything went. Chance comes from torch's own stream, a row by itself.

A view [N, 4] is (scale_x, scale_y, shift_x, shift_y) in pixels, as `parts.boxes.carried` takes it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from understudy.core.errors import refuse
from understudy.core.fields import check, span
from understudy.parts.augment import noisy, recoloured
from understudy.parts.encode import chance


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


@dataclass(frozen=True)
class Change:
    """A fixed number of views of each picture, told apart by their number. What changes hangs on what is in the picture and on that number alone, so
    whoever looks again, or elsewhere, sees the same crop to the bit.

    views: how many; 0 = pictures as they are. zoom: larger or smaller by up to that share; shift: moved by up to that share of its side; mirror: the
    probability that left is right; colour: contrast and brightness changed by up to that share.
    """

    views: int = span(0, 0, 10**6)
    zoom: float = span(0.1, 0, 0.9)
    shift: float = span(0.1, 0, 1)
    mirror: float = span(0.0, 0, 1)
    colour: float = span(0.0, 0, 1)
    seed: int = span(0, 0, 2**31)

    def __post_init__(self) -> None:
        check(self, "augment")

    def to_dict(self) -> dict[str, Any]:
        """Plain enough for JSON."""
        return asdict(self)

    def drawn(self, x: Tensor, number: Tensor) -> Tensor:
        """Of each picture's view of that number, [N], -1 being the picture as it is: scale_x, scale_y, shift_x, shift_y in pixels (as
        `seen` takes them), contrast, brightness; [N, C, H, W] -> float32 [N, 6]. Raises `Refused` for what isn't a picture."""
        from understudy.teachers.stored import keys

        if x.dim() != 4:
            raise refuse(
                "augment.views",
                self.views,
                f"0 where rows aren't pictures [C, H, W]; these are {list(x.shape[1:])}",
                "leave it out",
            )
        key = (keys(x) + (self.seed << 32)) ^ (number * 0x5851F42D4C957F2D)
        zoom, across, down, mirror, contrast, light = (chance(key, i) for i in range(6))
        scale = 1 + self.zoom * (2 * zoom - 1)
        side = torch.tensor([x.shape[-1], x.shape[-2]], device=x.device, dtype=torch.float64)
        scales = torch.stack([torch.where(mirror < self.mirror, -scale, scale), scale], 1)
        moved = side * (1 - scales) / 2 + self.shift * side * (2 * torch.stack([across, down], 1) - 1)
        colours = self.colour * (2 * torch.stack([contrast, light], 1) - 1)
        still = torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0, 0.0], device=x.device, dtype=torch.float64)
        return torch.where((number < 0)[:, None], still, torch.cat([scales, moved, colours], 1)).float()

    @staticmethod
    def seen(x: Tensor, view: Tensor) -> Tensor:
        """The pictures as those six numbers show them; a picture as it is stays so to the bit; [N, C, H, W], [N, 6] -> [N, C, H, W]"""
        still = (view[:, :2] == 1).all(1) & (view[:, 2:] == 0).all(1)
        if still.all():
            return x
        contrast, light = view[:, 4, None, None, None], view[:, 5, None, None, None]
        mean, spread = x.mean((1, 2, 3), keepdim=True), x.flatten(1).std(1, correction=0)[:, None, None, None]
        changed = seen(mean + (1 + contrast) * (x - mean) + light * spread, view[:, :4])
        return torch.where(still[:, None, None, None], x, changed)
