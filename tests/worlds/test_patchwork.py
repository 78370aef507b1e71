"""Digits in patches: who sees which, who begins with what."""

import pytest
import torch

from understudy.core.errors import Sealed
from understudy.core.seal import learning
from understudy.parts.masked import scattered
from understudy.worlds.footage import PATCH, footage
from understudy.worlds.patchwork import patchwork, patchwork_moved


def test_labels_are_few_and_the_test_is_shut():
    world = patchwork(0)
    assert world.size == 897 and (world.data.train.y >= 0).sum() == 100 and (world.rows(0).y >= 0).sum() == 16
    for world in (patchwork(0), patchwork_moved(0), footage(0)):
        with learning(), pytest.raises(Sealed):
            _ = world.data.test


def test_the_teacher_answers_about_rows_and_about_what_is_hidden():
    world = patchwork(0, small=True)
    teacher, student, x = world.teacher(), world.student(), world.rows(0).x
    hidden = scattered(len(x), 16, 0.75)
    assert teacher(x).shape == student(x).shape == (8, 10)
    assert teacher(x, hidden).shape == (8, 16, 8) and student(x, hidden).shape == (8, 4, 8)


def test_those_who_moved_begin_alike_under_a_fresh_head():
    world = patchwork_moved(0, small=True)
    one, other = world.student(), world.student()
    for k, v in one.encoder.state_dict().items():
        assert torch.equal(v, other.encoder.state_dict()[k])
    assert not torch.equal(one.head[1].weight, other.head[1].weight) and one(world.rows(0).x).shape == (8, 5)
    whole = patchwork_moved(0)
    assert whole.size == 100 and set(whole.data.train.y.tolist()) == set(range(5))


def test_clips_move_their_way_and_hide_their_labels():
    """Where ink is, a mean of places by brightness, goes the way that the label says."""
    world = footage(0)
    assert (world.rows(0).y == -1).all() and world.data.train.x.shape == (897, 1, 8, 12, 12)
    x, y = world.data.told.x[:200, 0], world.data.told.y[:200]
    ink = (x - x.flatten(1).median(1).values.view(-1, 1, 1, 1)).clamp(min=0.4) - 0.4
    place = torch.arange(12.0)
    across, down = ((ink.sum(axis) * place).sum(-1) / ink.sum((2, 3)) for axis in (2, 3))
    moved = torch.stack(
        [across[:, -1] - across[:, 0], across[:, 0] - across[:, -1], down[:, -1] - down[:, 0], down[:, 0] - down[:, -1]]
    )
    assert (moved.argmax(0) == y // 10).double().mean() > 0.97
    assert world.student()(world.rows(0).x).shape == (32, 36, 32) and world.student().patch == PATCH
