"""Writing: rows are asked for after their first half, the score is the reverse KL along what is written, and the teacher has the best one."""

from __future__ import annotations

import copy

import pytest
import torch

from understudy.core import seal
from understudy.core.errors import Refused, Sealed
from understudy.core.seeds import stream
from understudy.core.world import recast
from understudy.worlds.writing import writing

pytestmark = pytest.mark.usefixtures("double")


def test_the_first_half_is_the_prompt_and_the_second_is_asked_for() -> None:
    world = writing(0, small=True)
    b = world.rows(0)
    half = b.prompt["input_ids"].shape[1]
    assert b.x["input_ids"].shape[1] == 2 * half and torch.equal(b.prompt["input_ids"], b.x["input_ids"][:, :half])
    assert torch.equal(b.y >= 0, b.x["asked"]) and not b.x["asked"][:, : half - 1].any() and b.x["asked"][:, half - 1 :].all()
    assert torch.equal(b.y[:, half - 1 : -1], b.x["input_ids"][:, half:])


def test_the_score_is_the_reverse_kl_along_what_is_written() -> None:
    """By hand from the logits; it repeats itself, and whoever asks spends no chance of the caller's."""
    world = writing(0, small=True)
    student = world.student()
    before = torch.get_rng_state()
    score = world.validate(student)
    assert torch.equal(before, torch.get_rng_state()) and world.validate(student) == score
    total, n = 0.0, 0
    with stream(world.seed, "likeness"):
        said = world.play(student, world.data.valid.prompt)
    s, u = (net(said.x).dense().log_softmax(-1) for net in (student, world.given_teacher))
    for i, j in (said.y >= 0).nonzero().tolist():
        total, n = total + (s[i, j].exp() * (s[i, j] - u[i, j])).sum().item(), n + 1
    assert score == pytest.approx(-total / n)
    assert world.validate(copy.deepcopy(world.given_teacher)) == pytest.approx(0, abs=1e-12) and score < -1e-3


def test_it_is_judged_by_the_worlds_own_teacher_and_the_test_split_is_sealed() -> None:
    world = writing(0, small=True)
    student = world.student()
    assert recast(world, teacher=lambda: None).validate(student) == world.validate(student)
    with pytest.raises(Sealed):
        world.score(student)
    with seal.learning(), pytest.raises(Sealed):
        _ = world.data.test
    with pytest.raises(Refused, match="artefact"):
        world.validate(world.rows(0))
