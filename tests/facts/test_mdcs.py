"""MDCS: its loss by loops, what a leaning does, and that only what was right is kept."""

import pytest
import torch
from torch import nn

from understudy.core.batch import Batch
from understudy.core.run import Run
from understudy.methods.selfdistill import mdcs as its
from understudy.worlds.longtail import longtail


class Said(nn.Module):
    """Rows are what three experts say; strong rows come negated."""

    def __init__(self, count):
        super().__init__()
        self.inner = lambda x: x.transpose(0, 1)
        self.register_buffer("count", count)


@pytest.fixture
def marked(monkeypatch, double):
    monkeypatch.setattr(its, "weakly", lambda x: x)
    monkeypatch.setattr(its, "strongly", lambda x: -x)


def loss(x, y, count, **settings):
    run = Run(its.MDCS(**settings), longtail(0, small=True), 0, nn.ModuleDict({"student": Said(count)}), {}, {}, step=20)
    return run.method.loss(run, Batch(x=x, y=y))


def test_by_loops(marked):
    """The authors' order: leanings of log counts on both views, the cross-entropy of all, the divergence of what each gets right."""
    x, y, n = 2 * torch.randn(9, 3, 4), torch.tensor([0, 1, 2, 3, 0, 1, -1, -1, 2]), torch.tensor([50.0, 10.0, 4.0, 1.0])
    got, hard, kept, used = loss(x, y, n, weight=0.6), 0.0, 0.0, 0
    for k, leaning in enumerate((-0.5, 1.0, 2.5)):
        w, v = (s + torch.log(n**leaning) for s in (x[:, k], -x[:, k]))
        known = y >= 0
        hard += torch.nn.functional.cross_entropy(torch.cat([w[known], v[known]]), torch.cat([y[known]] * 2)).item()
        right = [i for i in range(9) if w[i].argmax() == y[i]]
        for i in right:
            p, q = w[i].softmax(0), v[i].softmax(0)
            kept += (p * (p / q).log()).sum().item() / len(right)
        used += len(right)
    assert 3 < used < 20
    assert (got["hard"].item(), got["kept"].item()) == pytest.approx((hard, 0.6 * kept))


def test_no_gradient_enters_what_was_right_and_wrong_rows_pull_nothing(marked):
    x = torch.zeros(2, 3, 2)
    x[0, :, 0], x[1, :, 1] = 3.0, 3.0
    x.requires_grad_()
    (slope,) = torch.autograd.grad(loss(x, torch.tensor([0, 0]), torch.ones(2), weight=1.0)["kept"], x)
    assert not slope[1].any(), "the second row is wrong"
    p, q = x[0, 0].softmax(0), (-x[0, 0]).softmax(0)
    torch.testing.assert_close(slope[0, 0], -(q - p).detach(), msg="by the strong view alone, which is -x")


def test_alike_views_and_rising_weight(monkeypatch, double):
    monkeypatch.setattr(its, "weakly", lambda x: x)
    monkeypatch.setattr(its, "strongly", lambda x: x)
    assert loss(torch.randn(4, 3, 2), torch.tensor([0, 1, 1, 0]), torch.ones(2))["kept"].item() == pytest.approx(0, abs=1e-12)
