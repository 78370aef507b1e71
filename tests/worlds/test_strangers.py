"""Known and unknown kinds of digits: how many of each, and what is kept apart."""

import pytest
import torch

from understudy.core.errors import Sealed
from understudy.core.seal import learning
from understudy.worlds.digits import splits
from understudy.worlds.strangers import strangers


def test_ten_labels_of_each_kind_and_three_in_five_of_the_others_are_strangers():
    world, other = strangers(0), strangers(1)
    data, pool = world.data, splits(torch.float).pool
    assert torch.bincount(data.train.y[:40]).tolist() == [10] * 4 and (data.train.y[40:] == -1).all()
    true = pool.y[torch.cdist(data.train.x.flatten(1), pool.x.flatten(1)).argmin(1)]
    assert torch.equal(true[:40], data.train.y[:40]) and abs((true[40:] > 3).double().mean().item() - 0.6) < 0.001
    assert data.valid.y.max() == data.test.y.max() == 3 and torch.equal(data.test.x, other.data.test.x)
    assert not torch.equal(data.train.x[:40], other.data.train.x[:40])
    assert world.student()(data.valid.x[:2]).shape == (2, 4) and world.encoder()(data.valid.x[:2]).shape == (2, 32)
    with learning(), pytest.raises(Sealed):
        _ = data.test
