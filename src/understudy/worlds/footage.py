"""Clips of handwritten digits that move, without labels: an encoder is asked afterwards which digit, and which way."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import nn

from understudy.core.batch import Batch
from understudy.core.seeds import stream
from understudy.core.world import Player, recast
from understudy.parts.masked import Encoder
from understudy.parts.probe import Probe
from understudy.parts.schedule import cosine
from understudy.worlds._unlabelled import Hidden, Unlabelled
from understudy.worlds.digits import Part, splits

SIDE, FRAMES, WAYS = 12, 8, 4  # right, left, down, up
PATCH = (2, 4, 4)


class Filmed(Unlabelled):
    """A world of clips whose y is ten times the way and the digit."""

    def measure(self, made: nn.Module | Batch, split: Any) -> dict[str, float]:
        """digit, way: what each of two probes answers right; accuracy: the mean of both."""
        assert isinstance(made, nn.Module), "an encoder is asked for, not a data set"
        learned, asked = (self.features(made, part.x) for part in (self.data.told, split))
        digit = Probe(learned, self.data.told.y % 10, 10).right(asked, split.y % 10)
        way = Probe(learned, self.data.told.y // 10, WAYS).right(asked, split.y // 10)
        return {"accuracy": (digit + way) / 2, "digit": digit, "way": way}


def footage(seed: int = 0, *, ready: bool = False, small: bool = False, **changes: Any) -> Filmed:
    """897 clips [1, 8, 12, 12], of each training digit of scikit-learn one, without labels; 36 patches of 2 frames by 4 x 4. A
    vision transformer of 18,000 weights, 240 updates of 32 rows in all, those of a teacher that is learned included.

    A digit, a real one, goes right, left, down or up from one side to the other, in any lane, and light and noise
    differ from clip to clip. The motion is made, the writing isn't, and writings of the three splits are different ones. It is
    scored by two linear probes on the frozen encoder's mean token, ridge regression in closed form on the training clips with
    their labels: which digit, and which way. The score is the mean of both shares of right answers."""
    data, steps = _made(torch.get_default_dtype()), 24 if small else 240
    if small:
        part = lambda p, rows: Part(p.x[:rows, :, :4, 2:10, 2:10], p.y[:rows])
        data = Hidden(part(data.told, 64), part(data.valid, 16))
    world = Filmed(
        seed=seed, data=data, batch=8 if small else 32, steps=steps,
        new_student=functools.partial(Encoder, tuple(data.train.x.shape[1:]), PATCH, 8 if small else 32, 1 if small else 2),
        player=Player(functools.partial(torch.optim.AdamW, lr=3e-3, weight_decay=0.05), cosine(steps, steps // 10), 1.0),
    )  # fmt: skip
    return recast(world, **changes)


@functools.cache
def _made(dtype: torch.dtype) -> Hidden:
    found = splits(dtype)
    with stream("footage"):
        return Hidden(*(_moving(part, dtype) for part in (found.pool, found.valid, found._test)))


def _moving(digits: Part, dtype: torch.dtype) -> Part:
    """A clip of each digit, x [N, 1, T, H, W] around 0, y [N] ten times its way and the digit"""
    n, room = len(digits.y), SIDE - 8
    way = torch.randint(WAYS, (n,))
    step = torch.linspace(0, room, FRAMES).round().long()
    along = torch.where((way % 2 == 0)[:, None], step, room - step)
    across = torch.randint(room + 1, (n, 1)).expand(-1, FRAMES)
    left, top = (torch.where((way < 2)[:, None], a, b) for a, b in ((along, across), (across, along)))
    x = torch.zeros(n, FRAMES, SIDE, SIDE, dtype=dtype)
    for i in range(n):
        for f in range(FRAMES):
            x[i, f, top[i, f] : top[i, f] + 8, left[i, f] : left[i, f] + 8] = (digits.x[i, 0] + 1) / 2
    between = lambda low, high: low + (high - low) * torch.rand(n, 1, 1, 1, dtype=dtype)
    x = between(0.6, 1.4) * x + between(-0.2, 0.2) + between(0.02, 0.05) * torch.randn(x.shape, dtype=dtype)
    return Part((x[:, None] - 0.1) / 0.3, 10 * way + digits.y)
