"""Four kinds of handwritten digits to be told apart, ten labels of each; most rows without a label are of other kinds."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from understudy.core.seeds import stream
from understudy.core.world import Player
from understudy.worlds._pictures import pictures
from understudy.worlds._scarce import FewLabels, Scarce
from understudy.worlds.digits import Net, Part

CLASSES, LABELLED, UNKNOWN = 4, 10, 0.6  # kinds that are sought; labels of each; share of others among rows without a label


@dataclass
class Strangers(FewLabels):
    """new_encoder: makes a network for what is learned without labels, at every call; [N, ...] -> [N, width]"""

    new_encoder: Callable[[], nn.Module] = field(default=nn.Identity)

    def encoder(self) -> nn.Module:
        return self.new_encoder()


def strangers(
    seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any
) -> Strangers:
    """Digits 0 to 3, of which the seed picks ten of each to be labelled; of the rows without a label three in five are digits 4 to 9.
    Rows for validation and test are of the four kinds alone. A convolutional student, and a wider encoder beside it.

    path: pictures instead (MNIST's four files, or another folder that `understudy.worlds._pictures` reads), of the first four of
    their classes.
    """
    data = _data(seed, None if path is None else str(path), torch.get_default_dtype())
    steps = 600
    world = Strangers(
        seed=seed, data=data, batch=48, steps=steps, new_student=lambda: Net(4, 8, 16, CLASSES),
        new_encoder=lambda: Net(16, 32, 64, 32), player=Player(functools.partial(torch.optim.Adam, lr=2e-3)),
    )  # fmt: skip
    if small:
        few = data.few("classify", 4, 64)
        world = Strangers(seed=seed, data=few, batch=8, steps=24, new_student=lambda: Net(3, 4, 8, CLASSES),
                          new_encoder=lambda: Net(3, 4, 8, 6), player=world.player)  # fmt: skip
    vars(world).update(changes)
    return world


@functools.lru_cache(maxsize=8)
def _data(seed: int, path: str | None, dtype: torch.dtype) -> Scarce:
    found = pictures(path, 2400, dtype)
    sought = lambda part: Part(part.x[part.y < CLASSES], part.y[part.y < CLASSES])
    train = found.train
    with stream("strangers", seed):
        mixed = torch.randperm(len(train.y))
    y = train.y[mixed]
    own = [(y == k).nonzero()[:, 0] for k in range(CLASSES)]
    known, hidden = torch.cat([rows[:LABELLED] for rows in own]), torch.cat([rows[LABELLED:] for rows in own])
    others = (y >= CLASSES).nonzero()[:, 0][: round(len(hidden) * UNKNOWN / (1 - UNKNOWN))]
    order = mixed[torch.cat([known[torch.arange(len(known)).view(CLASSES, -1).T.flatten()], hidden, others])]
    return Scarce("classify", len(known), Part(train.x[order], train.y[order]), sought(found.valid), sought(found._test))
