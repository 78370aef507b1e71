"""Spreads by hand, moments against torch's own, and who is asked how often."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from understudy.core.seeds import stream
from understudy.parts.restore import flat, put_
from understudy.parts.uncertainty import Both, Careful, Moments, Repeatable, dropped, mean_and_spread, seen_as


def shaken(x: Tensor) -> Tensor:
    return x + torch.randn_like(x)


def test_mean_and_spread_by_hand() -> None:
    p = torch.tensor([[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]])
    mean, spread = mean_and_spread(p)
    assert mean.tolist() == [[0.5, 0.5], [0.5, 0.5]] and spread.tolist() == [0.5, 0.0]


def test_dropout_keeps_the_mean_and_spreads_as_it_should(double: None) -> None:
    """Of a linear head, f w / (1 - q) with probability 1 - q: variance f^2 w^2 q / (1 - q)."""
    head, f = nn.Linear(1, 1, bias=False), torch.full((4000, 1), 2.0)
    nn.init.constant_(head.weight, 3.0)
    with stream("dropout"), torch.no_grad():
        mean, spread = mean_and_spread(dropped(head, f, 0.2, 20))
        assert not mean_and_spread(dropped(head, f, 0.0, 5))[1].any()
    assert mean.mean().item() == pytest.approx(6, rel=0.02)
    assert spread.mean().item() == pytest.approx(36 * 0.2 / 0.8 * 19 / 20, rel=0.05), "around the mean of 20"


def test_moments_are_means_and_variances(double: None) -> None:
    net, path = nn.Linear(3, 2), 5 + 1e-3 * torch.randn(7, 8)
    moments = Moments(net)
    for weights in path:
        put_(net, weights)
        moments.add(net)
    torch.testing.assert_close(moments.mean, path.mean(0))
    torch.testing.assert_close(moments.variance, path.var(0, correction=0))
    drawn = torch.stack([moments.draw() for _ in range(800)])
    torch.testing.assert_close(drawn.std(0), moments.variance.sqrt(), rtol=0.15, atol=0)


def test_moments_of_one_are_that_one() -> None:
    net = nn.Linear(3, 2)
    moments = Moments(net)
    moments.add(net)
    assert torch.equal(moments.mean, flat(net)) and not moments.variance.any() and torch.equal(moments.draw(), moments.mean)


@pytest.mark.parametrize(("logit", "asked"), [(0.0, 5), (9.0, 1)])
def test_views_are_asked_for_where_the_source_is_unsure(logit: float, asked: int) -> None:
    calls: list[Tensor] = []

    def source(x: Tensor) -> Tensor:
        return torch.tensor([[logit, 0.0]]).expand(len(x), 2)

    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            calls.append(x)
            return x

    x = torch.randn(4, 2)
    said = Careful(Net(), source, shaken, 5, 0.9)(x)
    assert len(calls) == asked and torch.equal(said, torch.stack(calls).mean(0))
    assert torch.equal(calls[0], x) == (asked == 1)


def test_views_without_change_are_the_row() -> None:
    net, x = nn.Linear(2, 3), torch.randn(4, 2)
    assert torch.equal(seen_as(net, x, lambda x: x, 3)[2], net(x))


def test_the_same_question_twice() -> None:
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return shaken(x)

    x = torch.zeros(3, 2)
    assert not torch.equal(Noisy()(x), Noisy()(x))
    before = torch.get_rng_state()
    assert torch.equal(Repeatable(Noisy())(x), Repeatable(Noisy())(x)) and torch.equal(before, torch.get_rng_state())


def test_two_answers_are_added() -> None:
    one, other, x = nn.Linear(2, 3), nn.Linear(2, 3), torch.randn(4, 2)
    assert torch.equal(Both(one, other)(x), one(x) + other(x))
