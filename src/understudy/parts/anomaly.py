"""What a student of normal rows gives away about others."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from understudy.parts.divergence import wide


def hardest(loss: Tensor, q: float) -> Tensor:
    """Mean of the values at or above the q-quantile of them all; q = 0 is the mean (Batzner et al. 2024, eq. 2); [...] -> []"""
    loss = wide(loss)
    chosen = loss >= torch.quantile(loss.detach().flatten(), q)
    return (loss * chosen).sum() / chosen.sum()


def difference(a: Tensor, b: Tensor) -> Tensor:
    """Mean square over channels; [N, C, H, W] x 2 -> [N, H, W]"""
    return (wide(a) - wide(b)).square().mean(1)


def normalised(values: Tensor, low: Tensor, high: Tensor, eps: float = 1e-12) -> Tensor:
    """Linear: 0 at `low`, 0.1 at `high`, quantiles of normal values; [...], [], [] -> [...]"""
    return 0.1 * (values - low) / (high - low).clamp_min(eps)


class Standard(nn.Module):
    """A network whose channels have mean 0 and deviation 1 on the rows that it was measured on; [N, ...] -> [N, C, H, W]"""

    mean: Tensor
    deviation: Tensor

    def __init__(self, inner: nn.Module, mean: Tensor, deviation: Tensor, eps: float = 1e-6) -> None:
        super().__init__()
        self.inner = inner
        self.register_buffer("mean", mean.view(-1, 1, 1))
        self.register_buffer("deviation", deviation.view(-1, 1, 1).clamp_min(eps))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = (self.inner(x) - self.mean) / self.deviation
        return out


class Autoencoder(nn.Module):
    """Pictures through a code without places, and from there to a map: what it draws somewhere may hang on the whole picture.

    Halvings down to about 4 x 4, a code of `code` numbers, and back up to h x w; [N, C, H, W] -> [N, channels, h, w]
    """

    def __init__(self, like: Tensor, channels: int, h: int, w: int, code: int = 64, drop: float = 0.2) -> None:
        super().__init__()
        c, side = like.shape[1], min(like.shape[2:])
        down: list[nn.Module] = []
        while side > 4:
            down += [nn.Conv2d(c, channels, 4, 2, 1), nn.ReLU()]
            c, side = channels, side // 2
        self.encode = nn.Sequential(*down, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(c * 16, code))
        self.decode = nn.Sequential(
            nn.Linear(code, channels * 16), nn.ReLU(), nn.Dropout(drop), nn.Unflatten(1, (channels, 4, 4))
        )
        self.middle, self.full = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.last = nn.Conv2d(channels, channels, 3, padding=1)
        self.size = (h, w)

    def forward(self, x: Tensor) -> Tensor:
        y = self.decode(self.encode(x))
        for conv, size in ((self.middle, [(s + 4) // 2 for s in self.size]), (self.full, self.size)):
            y = F.relu(conv(F.interpolate(y, size, mode="bilinear", align_corners=False)))
        out: Tensor = self.last(y)
        return out
