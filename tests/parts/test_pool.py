"""A pool begins with its rows, takes what there is room for, and draws only what is there."""

from __future__ import annotations

import torch

from understudy.parts.pool import Pool


def test_a_pool_grows_to_its_room() -> None:
    pool = Pool(torch.arange(6).view(3, 2), torch.tensor([0, 1, 2]), room=5)
    assert int(pool.count) == 3 and set(pool.draw(200)[1].tolist()) == {0, 1, 2}
    pool.add(torch.full((4, 2), 9), torch.tensor([7, 8, 5, 6]))
    assert int(pool.count) == 5 and pool.y.tolist() == [0, 1, 2, 7, 8]
    x, y = pool.draw(300)
    assert set(y.tolist()) == {0, 1, 2, 7, 8} and (x[y >= 7] == 9).all()
    other = Pool(torch.arange(6).view(3, 2), torch.tensor([0, 1, 2]), room=5)
    other.load_state_dict(pool.state_dict())
    assert int(other.count) == 5 and torch.equal(other.x, pool.x)
