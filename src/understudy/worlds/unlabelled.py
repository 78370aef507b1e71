"""Sentences that nobody labelled, and a teacher that is often wrong about what they ask for.

The teacher is a classifier that learned from a few sentences; the student has many more of them, without a label. They are those
of `intents`, written by its grammar or, with `path=`, read from a folder (see there).
"""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from understudy.core.seeds import stream
from understudy.core.world import Player, recast
from understudy.tasks import task
from understudy.worlds.intents import Bag, Part, Sentences, intents
from understudy.worlds.rows import Rows, trained


@dataclass
class Unlabelled:
    """train has no labels; few are those that the teacher learned from."""

    train: Part
    few: Part
    valid: Part
    held: Sentences

    @property
    def test(self) -> Part:
        return self.held.test


def unlabelled(seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, corpus: str = "TREC",
               few: int = 60, **changes: Any) -> Rows:  # fmt: skip
    """x [N, L] word ids, y [N] all hidden. `ready` trains the teacher on `few` sentences with their labels."""
    found = intents(seed, small=small, path=path, corpus=corpus, seeds=few).data
    hidden = Part(found.pool.x, task("classify").hide(found.pool.y, slice(None)))
    batch, steps = (8, 24) if small else (32, 400)
    net = functools.partial(Bag, found.words.size)
    world = Rows(
        seed=seed, data=Unlabelled(hidden, found.train, found.valid, found), batch=batch, steps=steps, player=_player(3e-3),
        new_student=functools.partial(net, 8 if small else 16, len(found.classes)),
    )  # fmt: skip
    if ready and not small:
        world.given_teacher = _taught(seed, None if path is None else str(path), corpus, few, torch.get_default_dtype())
    else:
        with stream(seed, "teacher"):
            world.given_teacher = net(16 if small else 64, len(found.classes))
    return recast(world, **changes)


def _player(lr: float) -> Player:
    return Player(functools.partial(torch.optim.AdamW, lr=lr, weight_decay=0.01))


@functools.lru_cache(maxsize=4)
def _taught(seed: int, path: str | None, corpus: str, few: int, _dtype: torch.dtype) -> nn.Module:
    world = unlabelled(seed, path=path, corpus=corpus, few=few)
    data = copy.copy(world.data)
    data.train = data.few
    assert world.given_teacher is not None
    return trained(recast(world, data=data, size=len(data.few.y), batch=16), world.given_teacher, 200, seed)
