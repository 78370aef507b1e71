"""Views of pictures that hang on nothing but the picture and a number."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from understudy.core.errors import refuse
from understudy.core.fields import check, span

if TYPE_CHECKING:  # settings are read without torch
    from torch import Tensor


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
        import torch

        from understudy.parts.encode import chance
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
        import torch

        from understudy.parts.views import seen

        still = (view[:, :2] == 1).all(1) & (view[:, 2:] == 0).all(1)
        if still.all():
            return x
        contrast, light = view[:, 4, None, None, None], view[:, 5, None, None, None]
        mean, spread = x.mean((1, 2, 3), keepdim=True), x.flatten(1).std(1, correction=0)[:, None, None, None]
        changed = seen(mean + (1 + contrast) * (x - mean) + light * spread, view[:, :4])
        return torch.where(still[:, None, None, None], x, changed)
