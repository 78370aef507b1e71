"""Pictures without labels: nobody sees one, and the probe tells a good encoder from a poor one."""

import pytest
import torch
from torch import nn

from understudy.core.errors import Sealed
from understudy.core.seal import learning
from understudy.worlds.gallery import gallery


class Telling(nn.Module):
    """Says the digit's own picture, or nothing."""

    def __init__(self, size):
        super().__init__()
        self.size = size

    def forward(self, x):
        return self.size * x.flatten(1)


def test_no_row_has_a_label_and_the_test_is_shut():
    world = gallery(0)
    assert (world.rows(3).y == -1).all() and all((b.y == -1).all() for b in world.sweep()) and world.size == 897
    assert (world.data.told.y >= 0).all() and torch.equal(world.data.told.x, world.data.train.x)
    with learning(), pytest.raises(Sealed):
        _ = world.data.test
    with pytest.raises(Sealed):
        _ = gallery(0, small=True).data.test


def test_the_probe_is_deterministic_and_reads_features():
    world = gallery(0)
    assert world.validate(Telling(1.0)) == world.validate(Telling(1.0)) > 0.85
    assert world.validate(Telling(0.0)) < 0.2
    assert gallery(0).student()(world.rows(0).x).shape == (64, 64)
