"""Experts: what they share, what each has for itself, and logits that know the counts."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from understudy.core.errors import TapError
from understudy.parts.experts import Experts, Together, adjusted, counts
from understudy.worlds.digits import Net


def test_each_answers_like_its_own_later_parts_on_the_firsts_early_ones() -> None:
    net, x = Net(3, 4, 8), torch.randn(5, 1, 8, 8)
    made = Experts(net, 3, x, shared=2).eval()
    early = net.stage2(net.stage1(x))
    want = torch.stack([net(x), *(tail(early) for tail in made.tails)])
    torch.testing.assert_close(made(x), want)
    torch.testing.assert_close(Together(made)(x), want.mean(0))
    assert not torch.allclose(want[0], want[1]) and not torch.allclose(want[1], want[2]), "each has weights of its own"
    count = lambda net: sum(p.numel() for p in net.parameters())
    assert count(made) == count(net) + 2 * (count(net.embed) + count(net.head))
    assert count(Experts(net, 2, x, shared=100)) == count(net) + count(net.head), "the last part is never shared"
    assert all(m.training for m in Experts(net, 2, x).modules())


def test_networks_that_are_no_row_of_parts_are_refused() -> None:
    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(x + self.a(x))

    with pytest.raises(TapError, match="Around does something else"):
        Experts(Around(), 2, torch.randn(2, 4))
    with pytest.raises(TapError, match="no parts"):
        Experts(nn.Linear(4, 4), 2, torch.randn(2, 4))


def test_counts_and_what_they_do_to_logits() -> None:
    n = counts(torch.tensor([0, 0, 2, -1]), 4)
    assert n.tolist() == [2, 1, 1, 1]
    s = torch.randn(3, 4)
    torch.testing.assert_close(adjusted(s, n, 1.0).softmax(-1), s.exp() * n / (s.exp() * n).sum(-1, keepdim=True))
    assert torch.equal(adjusted(s, n, 0.0), s)
