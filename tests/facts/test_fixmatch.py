"""FixMatch: exactly the rows that the threshold keeps, by the label of the weak view, over all unlabelled rows."""

import pytest
import torch
from torch import nn

from understudy.core.batch import Batch
from understudy.core.run import Run
from understudy.methods.semi import fixmatch as its
from understudy.worlds.utterances import utterances


class Doubled(nn.Module):
    """Rows are logits already; strong ones come marked."""

    def forward(self, x):
        return x


@pytest.fixture
def marked(monkeypatch, double):
    monkeypatch.setattr(its, "weakly", lambda x: x)
    monkeypatch.setattr(its, "strongly", lambda x: -x)


def loss(x, y, **settings):
    run = Run(its.FixMatch(**settings), utterances(0, small=True), 0, nn.ModuleDict({"student": Doubled()}), {}, {})
    return run.method.loss(run, Batch(x=x, y=y))


def test_by_brute_force(marked):
    x, y = 4 * torch.randn(12, 3), torch.tensor([0, -1, 2, *[-1] * 9])
    got, want, kept = loss(x, y, threshold=0.8, weight=2.0), 0.0, 0
    for i in range(12):
        p = x[i].softmax(0)
        if y[i] < 0 and p.max() >= 0.8:
            want -= (-x[i]).log_softmax(0)[p.argmax()].item()
            kept += 1
    assert 0 < kept < 10 and got["pseudo"].item() == pytest.approx(2 * want / 10)
    assert got["hard"].item() == pytest.approx(torch.nn.functional.cross_entropy(x[[0, 2]], y[[0, 2]]).item())


def test_what_isnt_sure_pulls_nothing_and_no_gradient_enters_the_label(marked):
    x = torch.tensor([[0.1, 0.0], [9.0, 0.0]], requires_grad=True)
    y = torch.tensor([-1, -1])
    (slope,) = torch.autograd.grad(loss(x, y)["pseudo"], x)
    assert not slope[0].any()
    q = (-x[1]).softmax(0)
    torch.testing.assert_close(slope[1], -(q - torch.tensor([1.0, 0.0])).detach() / 2)  # of the strong view alone, over both rows


def test_without_rows_of_either_kind(marked):
    x = torch.randn(3, 4)
    assert loss(x, torch.full((3,), -1))["hard"].item() == 0 and loss(x, torch.tensor([0, 1, 2]))["pseudo"].item() == 0
