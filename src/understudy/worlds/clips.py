"""Clips of handwritten digits that move, of which few are labelled: which way, and where."""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from understudy.core.seeds import stream
from understudy.core.world import Player, recast
from understudy.parts.schedule import cosine
from understudy.worlds._scarce import FewLabels, Scarce
from understudy.worlds.digits import Part, splits

SIDE, FRAMES, WAYS = 12, 8, 4  # right, left, down, up; each is fast at first or at last
KNOWN, TRAIN, VALID, TEST = 24, 400, 160, 320


class Watcher(nn.Module):
    """Where ink is in each frame, then how that goes on, with dropout before the head; [N, 1, T, H, W] -> [N, classes]"""

    def __init__(self, c: int, classes: int) -> None:
        super().__init__()
        self.frame = nn.Sequential(
            nn.Conv2d(1, c, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * c, 2 * c)
        )
        self.time = nn.Conv1d(2 * c, 2 * c, 3, padding=1)
        self.embed = nn.Sequential(nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Linear(8 * c, 4 * c), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Linear(4 * c, classes)

    def forward(self, x: Tensor) -> Tensor:
        seen = self.frame(x.movedim(2, 1).flatten(0, 1)).unflatten(0, (len(x), x.shape[2])).mT
        out: Tensor = self.head(self.embed(F.relu(self.time(seen))))
        return out


class Finder(nn.Module):
    """What each pixel of each frame is, from those around it in space and time; [N, 1, T, H, W] -> [N, classes, T, H, W]"""

    def __init__(self, c: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv3d(1, c, 3, padding=1), nn.LeakyReLU(0.1),
            nn.Conv3d(c, c, 3, padding=(1, 2, 2), dilation=(1, 2, 2)), nn.GroupNorm(1, c), nn.LeakyReLU(0.1),
            nn.Conv3d(c, c, 3, padding=(2, 1, 1), dilation=(2, 1, 1)), nn.LeakyReLU(0.1),
        )  # fmt: skip
        self.head = nn.Conv3d(c, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.body(x))
        return out


def clips(seed: int = 0, *, ready: bool = False, small: bool = False, **changes: Any) -> FewLabels:
    """400 clips of 8 frames of 12 x 12, 24 of them labelled; a small network that sees frames one by one, then in order.

    A handwritten digit (scikit-learn's, a real one, halved in size) goes right, left, down or up, which is asked for, fast at
    first or at last; another digit stands still, and light and noise differ from clip to clip. The motion is made, the writing
    isn't. No single frame tells the way: played backwards, each is another. Writings of the three splits are different ones.
    """
    data, steps = _made(torch.get_default_dtype(), "classify"), 200
    return _world(seed, small, "classify", data, steps, lambda c: Watcher(c, WAYS), 8, changes)


def clips_masks(seed: int = 0, *, ready: bool = False, small: bool = False, **changes: Any) -> FewLabels:
    """The same clips; asked is of each pixel of each frame whether it is the digit that moves, and which way that goes."""
    data, steps = _made(torch.get_default_dtype(), "segment"), 240
    return _world(seed, small, "segment", data, steps, lambda c: Finder(c, 1 + WAYS), 6, changes)


def _world(seed: int, small: bool, task: str, data: Scarce, steps: int, net: Any, width: int, changes: Any) -> FewLabels:
    world = FewLabels(
        seed=seed, task=task, data=data, batch=16 if task == "classify" else 8, steps=steps, new_student=lambda: net(width),
        player=Player(functools.partial(torch.optim.Adam, lr=1e-2), cosine(steps)),
    )  # fmt: skip
    if small:
        few = data.few(task, 4, 32)
        middle = (..., slice(2, 10), slice(2, 10))
        few.train, few.valid = (Part(p.x[middle], p.y[middle] if task == "segment" else p.y) for p in (few.train, few.valid))
        world = recast(world, data=few, size=32, steps=24, new_student=lambda: net(2))
    return recast(world, **changes)


@functools.cache
def _made(dtype: torch.dtype, task: str) -> Scarce:
    found = splits(dtype)
    with stream("clips"):
        parts = [_moved(part, n, dtype) for part, n in ((found.pool, TRAIN), (found.valid, VALID), (found._test, TEST))]
    return Scarce(task, KNOWN, *(Part(x, way if task == "classify" else mask) for x, way, mask in parts))


def _moved(digits: Part, n: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Clips [n, 1, T, H, W] around 0, ways [n], masks [n, T, H, W] of 0 and 1 + way"""
    way, late = torch.randint(WAYS, (n,)), torch.randint(2, (n,))
    ink = F.avg_pool2d((digits.x[torch.randint(len(digits.y), (2, n))][:, :, 0] + 1) / 2, 2).to(dtype)
    t = torch.linspace(0, 1, FRAMES)
    gone = torch.where(late[:, None] == 1, t**2, 1 - (1 - t) ** 2)
    gone = torch.where(way[:, None] % 2 == 1, 1 - gone, gone) * (SIDE - 4)
    lane, stands = torch.randint(SIDE - 3, (n,)), torch.randint(SIDE - 3, (n, 2))
    x, mask = torch.zeros(n, FRAMES, SIDE, SIDE, dtype=dtype), torch.zeros(n, FRAMES, SIDE, SIDE, dtype=torch.long)
    for i in range(n):
        top, left = stands[i].tolist()
        x[i, :, top : top + 4, left : left + 4] = ink[1, i]
        for f, at in enumerate(gone[i].round().long().tolist()):
            top, left = (lane[i].item(), at) if way[i] < 2 else (at, lane[i].item())
            spot = (i, f, slice(top, top + 4), slice(left, left + 4))
            mask[spot] = torch.where(ink[0, i] > 0.3, 1 + way[i], 0)
            x[spot] = torch.maximum(x[spot], ink[0, i])
    between = lambda low, high: low + (high - low) * torch.rand(n, 1, 1, 1, dtype=dtype)
    x = between(0.6, 1.4) * x + between(-0.2, 0.2) + between(0.05, 0.1) * torch.randn(x.shape, dtype=dtype)
    return (x[:, None] - 0.15) / 0.3, way, mask
