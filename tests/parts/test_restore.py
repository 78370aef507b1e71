"""Restoring touches the weights it names and no others; its quantile and its penalty against loops and a closed form."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from understudy.core.seeds import stream
from understudy.parts.restore import at_random, fisher, flat, least, penalty, put_, squared_gradient


def little() -> nn.Module:
    with stream("little"):
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def test_weights_go_out_and_in_unchanged() -> None:
    net, other = little(), little()
    put_(other, torch.zeros_like(flat(net)))
    assert not flat(other).any() and other[1].running_var.eq(1).all()
    put_(other, flat(net).detach())
    assert all(map(torch.equal, net.parameters(), other.parameters()))


def test_only_what_is_marked_is_put() -> None:
    net, source = little(), little()
    with torch.no_grad():
        for p in net.parameters():
            p += 1
    before, marked = flat(net).detach(), torch.arange(len(flat(net))) % 3 == 0
    put_(net, flat(source), marked)
    assert torch.equal(flat(net)[marked], flat(source)[marked]) and torch.equal(flat(net)[~marked], before[~marked])


def test_a_share_by_chance() -> None:
    net = nn.Linear(200, 100)
    assert at_random(net, 1.0).all() and not at_random(net, 0.0).any()
    with stream("some"):
        assert at_random(net, 0.3).double().mean().item() == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("share", [0.0, 0.03, 0.25, 0.5, 0.97, 1.0])
def test_the_least_are_those_below_the_quantile(share: float) -> None:
    with stream("least"):
        f = torch.rand(101, dtype=torch.double)
    assert torch.equal(least(f, share), f < f.quantile(share))
    assert not least(f, 0.0).any() and least(f, 0.5).sum() == 50 and least(torch.ones(1), 0.5).tolist() == [False]


def test_fisher_is_the_mean_of_squared_gradients(double: None) -> None:
    net, x = little(), torch.randn(3, 5, 3)
    want = torch.zeros_like(flat(net).detach())
    for rows in x:
        net.zero_grad()
        net(rows).square().mean().backward()
        want += squared_gradient(net) / 3
    net.zero_grad()
    torch.testing.assert_close(fisher(net, (net(rows).square().mean() for rows in x)), want)
    assert not squared_gradient(net).any() and not fisher(net, ()).any()


def test_the_penalty_and_its_pull(double: None) -> None:
    """Its gradient is precision (weights - centre): a step of 1 / precision along it ends at the centre."""
    net = little()
    centre, precision = flat(copy.deepcopy(net)).detach() + 0.5, 1 + torch.rand(len(flat(net)))
    assert penalty(net, centre, precision).item() == pytest.approx(precision.sum().item() / 8)
    penalty(net, centre, precision).backward()
    put_(net, flat(net).detach() - torch.cat([p.grad.flatten() for p in net.parameters()]) / precision)
    torch.testing.assert_close(flat(net), centre)
    assert penalty(net, centre, precision).item() == pytest.approx(0, abs=1e-20)
