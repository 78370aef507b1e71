"""Experts put together, and a step towards them."""

import torch
from torch import nn

from understudy.parts.meta import Adapting, Aggregator, others, towards


def test_experts_come_in_any_order(double):
    put, f = Aggregator(6, 3), torch.randn(4, 5, 6)
    assert torch.allclose(put(f), put(f[:, torch.randperm(5)])) and not torch.allclose(put(f), put(2 * f))


def test_others_against_a_loop():
    f, own = torch.randn(3, 4, 2), torch.tensor([0, 3, 1])
    for row, k, left in zip(f, own, others(f, own), strict=True):
        assert torch.equal(left, torch.stack([row[i] for i in range(4) if i != k]))


def test_a_step_by_hand(double):
    """Of a linear layer before a head: d/dW mean (W x - t)^2 = 2 (W x - t) x^T / (N D)."""
    net, x, t = nn.Sequential(nn.Linear(3, 2, bias=False), nn.Linear(2, 4)), torch.randn(5, 3), torch.randn(5, 2)
    w = net[0].weight.detach()
    by_hand = w - 0.1 * 2 * (x @ w.T - t).T @ x / 10
    theta = towards(net, "penultimate", x, t, 0.1)
    assert torch.allclose(theta[:6].view(2, 3), by_hand) and torch.equal(theta[14:], net[1].bias)
    with torch.no_grad():
        says = nn.Flatten(1)
        made = Adapting(net, nn.Unflatten(1, (1, 3)), nn.Sequential(says, nn.Linear(3, 2)), "penultimate", 0.0)
        assert torch.equal(made(x), net(x))
