"""Descent as a function: it ends where an optimiser does, and its gradient is that of what it did."""

import torch
import torch.nn.functional as F
from torch import nn

from understudy.parts.unroll import at, descend, flat, flatward, led


def test_a_vector_is_a_network():
    net, other = nn.Linear(3, 2), nn.Linear(3, 2)
    x = torch.randn(4, 3)
    torch.testing.assert_close(at(net, flat(other), x), other(x))


def test_descent_ends_where_sgd_does(double):
    net, x, y = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), torch.randn(6, 3), torch.randint(2, (6,))
    end = descend(lambda w: F.cross_entropy(at(net, w, x), y), flat(net), 0.3, 5)
    opt = torch.optim.SGD(net.parameters(), 0.3)
    for _ in range(5):
        opt.zero_grad()
        F.cross_entropy(net(x), y).backward()
        opt.step()
    torch.testing.assert_close(end, flat(net))


def test_descent_of_a_parabola_is_differentiated_as_worked_by_hand(double):
    lr, c = torch.tensor(0.1, requires_grad=True), torch.tensor([2.0], requires_grad=True)
    end = descend(lambda w: ((w - c).square() / 2).sum(), torch.zeros(1), lr, 3)  # c (1 - (1 - lr)^3)
    torch.testing.assert_close(end, c * (1 - 0.9**3))
    by_lr, by_c = torch.autograd.grad(end, [lr, c])
    torch.testing.assert_close(by_lr, torch.tensor(2 * 3 * 0.9**2))
    torch.testing.assert_close(by_c, torch.tensor([1 - 0.9**3]))


def test_without_a_neighbourhood_the_step_is_the_gradient(double):
    theta = torch.tensor([1.0, -2.0])
    value, step = flatward(lambda w: w.square().sum(), theta, 0.0, 0.7)
    assert value == 5
    torch.testing.assert_close(step, 2 * theta)


def test_a_flat_minimum_is_where_nothing_moves():
    value, step = flatward(lambda w: 0 * w.sum(), torch.zeros(3), 0.5, 0.5)
    assert value == 0
    assert not step.any()


def test_a_led_term_has_its_value_and_the_direction_as_gradient():
    theta = torch.tensor([1.0, 2.0], requires_grad=True)
    term = led(torch.tensor(7.0), theta, torch.tensor([3.0, -1.0]))
    term.backward()
    assert term == 7
    assert theta.grad.tolist() == [3, -1]
