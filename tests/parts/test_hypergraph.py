from __future__ import annotations

import torch

from understudy.parts.hypergraph import Reliable, log_means, means, pooled_kl, reliability, touching

PAIRS = torch.tensor([[0, 1, 2, 2, 3], [0, 0, 0, 1, 1]])


def test_means_by_hand_and_by_logarithm() -> None:
    x = torch.tensor([[1.0, 0.0], [2.0, 3.0], [6.0, 3.0], [0.0, 5.0]])
    torch.testing.assert_close(means(x, PAIRS, 3), torch.tensor([[3.0, 2.0], [3.0, 4.0], [0.0, 0.0]]))
    torch.testing.assert_close(log_means((x + 1).log(), PAIRS, 2), (means(x, PAIRS, 2) + 1).log())


def test_pooled_kl_is_that_of_the_means_also_where_they_vanish() -> None:
    p, q = torch.randn(4, 3), torch.randn(4, 3)
    a, b = means(p.softmax(-1), PAIRS, 2), means(q.softmax(-1), PAIRS, 2)
    torch.testing.assert_close(pooled_kl(p, q, PAIRS, 2), (a * (a / b).log()).sum(-1))
    loud = (1e4 * q).requires_grad_()
    pooled_kl(-1e4 * p, loud, PAIRS, 2).sum().backward()
    assert loud.grad is not None and loud.grad.isfinite().all()
    assert pooled_kl(p, q, PAIRS[:, :0], 0).shape == (0,)


def test_reliability_by_hand() -> None:
    """Mean entropies move by 1/3 and 1 in one draw, by -1/3 and 0 in the other: d = 1/3 and 1/2."""
    shaken = torch.tensor([[1.0, 0.0, 0.0, 2.0], [-1.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(reliability(torch.zeros(4), shaken, PAIRS, 2), torch.tensor([1 / 3, 0.0]))
    assert reliability(torch.zeros(4), torch.zeros(1, 4), PAIRS, 2).tolist() == [1, 1]


def test_touching_keeps_what_has_two_members_in_the_batch() -> None:
    edges, kept = touching(PAIRS, torch.tensor([2, 0]), 4)
    assert kept.tolist() == [0] and sorted(edges.T.tolist()) == [[0, 0], [1, 0]]
    edges, kept = touching(PAIRS, torch.arange(4), 4)
    assert kept.tolist() == [0, 1] and torch.equal(edges, PAIRS)
    assert touching(PAIRS, torch.tensor([3]), 4)[1].numel() == 0


def test_reliable_ones_are_taken_and_others_are_not() -> None:
    net = Reliable(torch.tensor([1.0, 0.0]))
    assert net(torch.tensor([0, 1, 0])).tolist() == [True, False, True]
