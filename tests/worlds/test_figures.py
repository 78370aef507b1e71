"""Digits to learn from in several ways: who has which rows, and that what is said of one hangs on no other."""

import pytest
import torch

from understudy.core.errors import Sealed
from understudy.core.seal import learning
from understudy.worlds.figures import ROWS, figures


def test_the_seed_picks_the_rows_and_what_is_judged_stays():
    one, other = figures(0).data, figures(1).data
    assert len(one.train.y) == ROWS == 150 and len(one.pool.y) == 897 and not torch.equal(one.train.x, other.train.x)
    assert torch.equal(one.valid.x, other.valid.x) and torch.equal(one.test.x, other.test.x)
    seen = {tuple(x.flatten().tolist()) for x in one.pool.x}
    assert all(tuple(x.flatten().tolist()) in seen for x in one.train.x)
    with learning(), pytest.raises(Sealed):
        _ = one.test
    with pytest.raises(Sealed):
        _ = figures(0, small=True).data.test


def test_rows_are_told_one_by_one(double):
    world = figures(0)
    net, x = world.student().train(), world.rows(0).x
    torch.testing.assert_close(net(x)[:3], net(x[:3]))
    assert sum(p.numel() for p in world.teacher().parameters()) > 3 * sum(p.numel() for p in net.parameters())
