"""Deep Co-Training: the published sum and its gradient in both networks; what fools is what it says."""

import copy

import pytest
import torch
from torch import nn

from understudy.core.batch import Batch
from understudy.core.run import Run
from understudy.methods.semi import deep_co_training as its
from understudy.worlds.utterances import utterances


@pytest.fixture
def run(monkeypatch, double):
    monkeypatch.setattr(its, "weakly", lambda x: x)
    nets = nn.ModuleDict({k: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)) for k in ("student", "peer")})
    return Run(its.DeepCoTraining(agree=3.0, differ=2.0, eps=0.1), utterances(0, small=True), 0, nets, {}, {}, step=24)


def entropy(p):
    return -(p * p.log()).sum(1)


def test_the_sum_and_its_gradient_in_both(run):
    x, y = torch.randn(5, 4), torch.tensor([0, -1, 2, -1, -1])
    got = run.method.loss(run, Batch(x=x, y=y))
    mine = {k: torch.autograd.grad(sum(t.values()), list(run[k].parameters()), retain_graph=True) for k, t in got.items()}
    one, two = run["student"], run["peer"]
    g = {}
    for name, net in (("student", one), ("peer", two)):
        z = x.clone().requires_grad_()
        label = torch.where(y >= 0, y, net(x).argmax(1))
        for i in range(5):  # a row by itself
            (slope,) = torch.autograd.grad(nn.functional.cross_entropy(net(z)[i : i + 1], label[i : i + 1]), z)
            g.setdefault(name, x.clone())[i] += 0.1 * slope[i].sign()
    p, q = one(x).softmax(1), two(x).softmax(1)
    known, u = y >= 0, y < 0
    agree = (entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2)[u].mean()
    differ = -(p * two(g["student"]).log_softmax(1)).sum(1).mean() - (q * one(g["peer"]).log_softmax(1)).sum(1).mean()
    hard = sum(nn.functional.cross_entropy(net(x)[known], y[known]) for net in (one, two))
    for terms in got.values():
        assert terms["agree"].item() == pytest.approx(3 * agree.item()) and terms["differ"].item() == pytest.approx(
            2 * differ.item()
        )
    assert sum(t["hard"] for t in got.values()).item() == pytest.approx(hard.item())
    whole = hard + 3 * agree + 2 * differ
    for k in ("student", "peer"):
        for a, b in zip(mine[k], torch.autograd.grad(whole, list(run[k].parameters()), retain_graph=True), strict=True):
            torch.testing.assert_close(a, b)


def test_one_network_twice_agrees_with_itself(run):
    run.nets["peer"] = copy.deepcopy(run.nets["student"])
    got = run.method.loss(run, Batch(x=torch.randn(5, 4), y=torch.tensor([0, -1, 2, -1, -1])))
    assert got["student"]["agree"].item() == pytest.approx(0, abs=1e-12)


def test_what_fools_a_network_raises_its_loss(run):
    """At a small step, to first order by eps |slope|_1."""
    x, y = torch.randn(6, 4), torch.zeros(6, dtype=torch.long)
    z = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(nn.functional.cross_entropy(run["student"](z), y, reduction="sum"), z)
    small = 1e-6
    moved = nn.functional.cross_entropy(run["student"](x + small * slope.sign()), y, reduction="sum")
    still = nn.functional.cross_entropy(run["student"](x), y, reduction="sum")
    assert ((moved - still) / small).item() == pytest.approx(slope.abs().sum().item(), rel=1e-3)
