"""A language model's answers, kept: in memory, and as few bytes on disk."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from understudy.core import registry
from understudy.core.fit import fit
from understudy.core.run import start
from understudy.core.world import World, recast
from understudy.parts.lazy import Lazy
from understudy.teachers import Stored
from understudy.worlds import WORLDS


@pytest.fixture(scope="module")
def world() -> World:
    return WORLDS["texts"](0, small=True)


def test_hidden_states_in_memory_are_the_same_bits(world: World, tmp_path: Path) -> None:
    """The last states at full precision and the head once: a student can't tell, also where the file comes back from disk."""
    epoch = [world.rows(step) for step in range(4)]
    stored = Stored(copy.deepcopy(world.teacher()).eval(), [b.x for b in epoch])
    again = Stored.load(stored.save(tmp_path / "answers.safetensors"))
    kd = registry.build({"name": "kd", "t": 1.0})
    runs = [fit(start(kd, recast(world, teacher=lambda t=t: t), 1, device="cpu"), 4) for t in (world.teacher(), stored, again)]
    students = [run["student"].state_dict().values() for run in runs]
    assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(*students, strict=True))
    assert isinstance(stored(epoch[0].x), Lazy)
    assert torch.equal(stored(epoch[0].x).asked, epoch[0].x["asked"])
