"""What every world must keep, whatever lives in it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from understudy.core import seal
from understudy.core.batch import Batch, each
from understudy.core.errors import Sealed
from understudy.core.registry import entries, get
from understudy.core.run import artefact, start
from understudy.tasks import TASKS
from understudy.worlds import WORLDS

LIVES = {e.card.world: e.name for e in reversed(entries().values()) if e.name != "alone"}  # a method of each world


def same(a: Any, b: Any) -> bool:
    flat: list[Any] = []
    for value in (a, b):
        found: list[torch.Tensor] = []
        each(dict(value), lambda t, found=found: found.append(t) or t)
        flat.append(found)
    return len(flat[0]) == len(flat[1]) and all(torch.equal(x.nan_to_num(), y.nan_to_num()) for x, y in zip(*flat))


@pytest.mark.parametrize("name", WORLDS)
def test_rows_hang_on_seed_and_step_alone(name: str) -> None:
    one, other, third = WORLDS[name](0, small=True), WORLDS[name](0, small=True), WORLDS[name](1, small=True)
    later = one.rows(3)
    assert same(one.rows(0), other.rows(0)) and same(later, other.rows(3)), "the same step gave other rows"
    assert not all(same(one.rows(s), third.rows(s)) for s in range(8)), "another seed gave the same rows"
    assert one.task in TASKS and isinstance(one.metric, str) and one.steps > 0
    assert [one.phase(s) for s in range(one.steps)] == sorted(one.phase(s) for s in range(one.steps))


@pytest.mark.parametrize("name", WORLDS)
def test_networks_hang_on_the_seed_and_a_student_on_the_stream(name: str) -> None:
    one, other = (WORLDS[name](0, small=True) for _ in range(2))
    for a, b in ((one.teacher(), other.teacher()),):
        if a is not None and list(a.parameters()):
            assert all(map(torch.equal, a.parameters(), b.parameters()))
    student = one.student()
    assert isinstance(student, nn.Module) and student is not one.student()


@pytest.mark.parametrize("name", LIVES)
def test_a_world_seals_its_test_split_while_something_learns(name: str) -> None:
    """The real one, untrained; nothing but the score needs it, and the score does."""
    world = WORLDS[name](0)
    made = artefact(start(get(LIVES[name])(), world, 0, device="cpu"))
    with seal.learning(), pytest.raises(Sealed):
        world.score(made)
    score = world.score(made)
    assert isinstance(score, float) and score == score
    assert not world.share or 0 <= score <= 1
    assert isinstance(made, (nn.Module, Batch))
