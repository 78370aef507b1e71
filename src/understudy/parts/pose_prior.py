"""How far a pose is from those that a body takes: a neural distance field over the directions of its bones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from understudy.parts.divergence import wide
from understudy.parts.joints import bones


class PoseField(nn.Module):
    """Poses to how implausible they are, 0 and above (Tiwari et al. 2022, in two dimensions Raychaudhuri et al. 2023): each bone is
    encoded with what its parent bone was encoded as, and a perceptron tells the distance; joints [N, K, 2] -> [N]"""

    parents: Tensor

    def __init__(self, parents: tuple[int, ...], width: int = 6, hidden: int = 64) -> None:
        super().__init__()
        self.register_buffer("parents", torch.tensor(parents))
        self.encoders = nn.ModuleList(_two(2 + (width if parent else 0), 2 + width, width) for parent in parents)
        last = nn.Linear(hidden, 1)
        self.distance = nn.Sequential(
            nn.Linear(width * len(parents), hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), last
        )
        nn.init.ones_(last.bias)  # above 0 at first, where the last ReLU lets a gradient through

    def forward(self, joints: Tensor) -> Tensor:
        return self.of_bones(bones(joints, self.parents))

    def of_bones(self, way: Tensor) -> Tensor:
        """Directions [N, K - 1, 2] -> [N]"""
        told: list[Tensor] = []
        for i, (encoder, parent) in enumerate(zip(self.encoders, self.parents.tolist(), strict=True)):
            told.append(encoder(torch.cat([way[:, i], told[parent - 1]], -1) if parent else way[:, i]))
        distance: Tensor = self.distance(torch.cat(told, -1))[:, 0]
        return wide(distance).relu()


def _two(into: int, between: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(into, between), nn.ReLU(), nn.Linear(between, out), nn.ReLU())


def off(way: Tensor, clean: Tensor, nearest: int = 5) -> Tensor:
    """What a field is trained on: the mean distance to the nearest of clean poses, a distance being the root of the squared differences of
    directions, mean over bones; [N, B, 2], [M, B, 2] -> [N]"""
    each = torch.cdist(way.flatten(1), clean.flatten(1)) / way.shape[1] ** 0.5
    near: Tensor = each.topk(min(nearest, len(clean)), largest=False).values.mean(1)
    return near


def noised(way: Tensor, most: float) -> Tensor:
    """Each bone turned by a normal angle, whose deviation is even up to `most` radians and a pose's own; [N, B, 2] -> [N, B, 2]"""
    angle = most * torch.rand(len(way), 1, device=way.device, dtype=way.dtype) * torch.randn_like(way[..., 0])
    cos, sin, (x, y) = angle.cos(), angle.sin(), way.unbind(-1)
    return torch.stack([cos * x - sin * y, sin * x + cos * y], -1)
