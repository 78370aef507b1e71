"""What an event camera says: where and when a pixel became brighter or darker. Streams are counts, [N, 2, T, H, W]: brighter, darker."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def events(light: Tensor, threshold: float) -> Tensor:
    """Events of a film, after the usual model (Rebecq et al. 2018): a pixel fires whenever its log light has gone a threshold up or
    down since it last fired; log light [N, T+1, H, W] -> counts [N, 2, T, H, W]"""
    last, fired = light[:, 0], []
    for now in light[:, 1:].unbind(1):
        steps = ((now - last) / threshold).trunc()
        last = last + threshold * steps
        fired.append(torch.stack([steps.clamp(min=0), (-steps).clamp(min=0)], 1))
    return torch.stack(fired, 2)


def stacked(x: Tensor) -> Tensor:
    """Stack image: both signs' counts over all time; [N, 2, T, H, W] -> [N, 2, H, W]"""
    return x.sum(2)


def voxels(x: Tensor) -> Tensor:
    """Voxel grid: brighter less darker, time by time; [N, 2, T, H, W] -> [N, T, H, W]"""
    return x[:, 0] - x[:, 1]


class Integrator(nn.Module):
    """Pictures out of events: their sum, which fades, mended by two convolutions; what fades, how much contrast and how bright is
    learned. [N, 2, T, H, W] -> log light and pictures in [-1, 1], [T, N, 1, H, W] each"""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.keep, self.gain, self.bias = (nn.Parameter(torch.tensor(v)) for v in (2.0, 1.5, -3.0))
        last = nn.Conv2d(width, 1, 3, padding=1)
        self.mend = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), last)
        for p in last.parameters():
            nn.init.zeros_(p)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        light, seen = torch.zeros_like(x[:, :1, 0]), []
        for change in voxels(x).unbind(1):
            light = self.keep.sigmoid() * light + change[:, None]
            seen.append(light)
        said = torch.stack(seen)
        said = said + self.mend(said.flatten(0, 1)).view_as(said)
        return said, 2 * (self.gain * said + self.bias).sigmoid() - 1
