"""Stick figures: joints where they are drawn, labels where they are shown."""

import pytest
import torch

from understudy.core.errors import Sealed
from understudy.core.seeds import stream
from understudy.worlds.sticks import DAY, DUSK, JOINTS, LENGTHS, PARENTS, SIDE, dusk, pictures, poses, sticks


def test_figures_lie_within_the_picture_and_bones_have_their_lengths():
    torch.manual_seed(0)
    joints = poses(500)
    assert joints.shape == (500, 11, 2) and joints.min() >= 1.1 and joints.max() <= SIDE - 1.1
    size = (joints[:, 1:] - joints[:, PARENTS]).norm(dim=-1) / torch.tensor(LENGTHS)
    assert torch.allclose(size, size[:, :1].expand_as(size), atol=1e-4) and 0.74 < size.min() < size.max() < 0.96
    assert (joints[:, 2, 1] < joints[:, 0, 1]).all(), "heads are up"


def test_limbs_are_bright_where_they_are_and_the_right_ones_brighter():
    torch.manual_seed(0)
    joints = poses(300)
    x, body = pictures(joints, DAY)
    middle = ((joints[:, 1:] + joints[:, PARENTS]) / 2).long()
    row = torch.arange(300)[:, None]
    light = x[row, 0, middle[..., 1], middle[..., 0]]
    side = lambda s: torch.tensor([name.endswith(s) for name in JOINTS[1:]])
    assert light[:, side(" r")].mean() > light[:, side(" l")].mean() + 0.1 > x[body[:, None] == 0].mean() + 0.2
    dim, covered = pictures(joints, DUSK)
    contrast = lambda x, body: x[body[:, None] == 1].mean() - x[body[:, None] == 0].mean()
    assert contrast(dim, covered) < 0.7 * contrast(x, body) and covered.sum() > 1.2 * body.sum(), "dimmer and thicker"


def test_few_rows_have_joints_which_move_with_their_picture():
    world = sticks(0, small=True)
    batch = world.rows(2)
    known = batch.y["joints"].isfinite().all(-1).any(1)
    assert known[:2].all() and not known[2:].any() and torch.equal(batch.x, sticks(0, small=True).rows(2).x)
    with stream(0, 2, 0, "way"):
        plain = world.data.train.y["joints"][batch.row[:2]]
    assert not torch.allclose(batch.y["joints"][:2].nan_to_num(), plain)


def test_at_dusk_nothing_is_labelled_and_by_day_all_is():
    world = dusk(0, small=True)
    for batch in (world.rows(3), *world.sweep()):
        assert batch.y["joints"].isnan().all() and (batch.y["mask"] == -1).all()
    day = world.rows(3, "source")
    assert day.y["joints"].isfinite().double().mean() > 0.9 and set(day.y["mask"].unique().tolist()) == {0, 1}
    assert torch.equal(world.beginner(1).head.weight, world.beginner(1).head.weight)
    assert not torch.equal(world.beginner(1).head.weight, world.beginner(2).head.weight)
    with pytest.raises(Sealed):
        world.score(world.student())
