"""Bounds on mutual information, and alignment of features."""

import math

import pytest
import torch

from understudy.parts.contrast import infonce
from understudy.parts.information import cka, mi_alpha
from understudy.parts.relation import unit


def by_the_letter(f, alpha, q):
    """The two means of the bound, pair by pair."""
    n = len(f)
    e = f.exp()
    joint = sum(torch.log(e[j, j] / (alpha * e[:, j].mean() + (1 - alpha) * q)) for j in range(n)) / n
    others = lambda j: torch.cat([e[:j, j], e[j + 1 :, j]])
    apart = sum((others(j) / (alpha * others(j).mean() + (1 - alpha) * q)).mean() for j in range(n)) / n
    return (1 + joint - apart).item()


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.9, 1.0])
def test_mi_alpha_by_the_letter(double, alpha):
    f = torch.randn(6, 6)
    assert mi_alpha(f, alpha, math.log(1.7)).item() == pytest.approx(by_the_letter(f, alpha, 1.7), abs=1e-12)


def test_at_1_it_is_infonce(double):
    """Whose loss is log N minus the bound."""
    a, b = unit(torch.randn(8, 5)), unit(torch.randn(8, 5))
    assert mi_alpha(b @ a.T / 0.2, 1.0).item() == pytest.approx(math.log(8) - infonce(a, b, 0.2).item(), abs=1e-12)


def test_infonce_stops_at_log_n_and_a_smaller_alpha_does_not(double):
    sure = 20 * torch.eye(4)
    assert mi_alpha(sure, 1.0).item() == pytest.approx(math.log(4), abs=1e-6)
    assert mi_alpha(sure, 0.01).item() > math.log(4) + 1


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_finite_where_the_critic_is_sure_of_the_wrong_rows(alpha):
    f = (-50 * torch.eye(5)).requires_grad_()
    bound = mi_alpha(f, alpha)
    bound.backward()
    assert bound.isfinite() and f.grad.isfinite().all()
    assert mi_alpha(torch.ones(1, 1), alpha).isfinite()


def test_alignment_knows_no_turn_and_no_scale(double):
    a = torch.randn(10, 4)
    turn, _ = torch.linalg.qr(torch.randn(4, 4))
    assert cka(a, 3 * a @ turn + 1).item() == pytest.approx(1)
    assert cka(torch.tensor([[1.0], [-1.0], [0.0], [0.0]]), torch.tensor([[0.0], [0.0], [1.0], [-1.0]])).item() == 0
    assert cka(a, torch.zeros(10, 2)).item() == 0
    x, y = a[:, :1] - a[:, :1].mean(), a[:, 1:2] - a[:, 1:2].mean()
    r = (x * y).sum() / (x.norm() * y.norm())
    assert cka(a[:, :1], a[:, 1:2]).item() == pytest.approx((r * r).item())  # of two numbers it is their squared correlation
