"""The last rows that were pushed, oldest first."""

import pytest
import torch

from understudy.parts.memory import Ring


@pytest.mark.parametrize("sizes", [(2,), (5,), (3, 3, 3), (5, 1), (12,), (4, 9, 2)])
def test_keeps_the_last_in_their_order(sizes):
    ring, all_ = Ring(5, 2), torch.arange(2.0 * sum(sizes)).view(-1, 2)
    for part in all_.split(sizes):
        ring.push(part)
    assert torch.equal(ring.filled(), all_[-5:])


def test_is_resumed_from_its_buffers():
    ring, other = Ring(3, 1), Ring(3, 1)
    ring.push(torch.arange(4.0)[:, None])
    other.load_state_dict(ring.state_dict())
    for r in (ring, other):
        r.push(torch.tensor([[9.0]]))
    assert other.filled().flatten().tolist() == ring.filled().flatten().tolist() == [2, 3, 9]
