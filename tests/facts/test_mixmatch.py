"""MixMatch: its guess, its mixture and both losses, by brute force; what is left of it without mixing and guessing."""

import pytest
import torch
from torch import nn

from understudy.core.batch import Batch
from understudy.core.run import Run
from understudy.methods.semi import mixmatch as its
from understudy.worlds.utterances import utterances


@pytest.fixture
def views(monkeypatch, double):
    """Every look at rows is another one: they are larger each time."""
    looks = iter(range(1, 99))
    monkeypatch.setattr(its, "weakly", lambda x: x * next(looks))


def loss(x, y, step=24, **settings):
    run = Run(
        its.MixMatch(**settings), utterances(0, small=True), 0, nn.ModuleDict({"student": nn.Identity()}), {}, {}, step=step
    )
    return run.method.loss(run, Batch(x=x, y=y))


def test_by_brute_force(views, monkeypatch):
    x, y, order = torch.randn(4, 3), torch.tensor([1, -1, 2, -1]), torch.tensor([3, 0, 5, 1, 4, 2])
    monkeypatch.setattr(its, "mixed_up", lambda rows, alpha: tuple(0.75 * a + 0.25 * a[order] for a in rows))
    got = loss(x, y, weight=3.0, t=0.5)
    q = ((2 * x[[1, 3]]).softmax(1) + (3 * x[[1, 3]]).softmax(1)) / 2  # labelled rows were looked at first
    q = q**2 / (q**2).sum(1, keepdim=True)
    rows = torch.cat([x[[0, 2]], 2 * x[[1, 3]], 3 * x[[1, 3]]])
    target = torch.cat([torch.eye(3)[[1, 2]], q, q])
    rows, target = (0.75 * a + 0.25 * a[order] for a in (rows, target))
    assert got["hard"].item() == pytest.approx(-(target[:2] * rows[:2].log_softmax(1)).sum().item() / 2)
    assert got["guessed"].item() == pytest.approx(3 * (target[2:] - rows[2:].softmax(1)).square().sum().item() / 12)


def test_the_weight_rises_in_a_straight_line(views, monkeypatch):
    monkeypatch.setattr(its, "weakly", lambda x: x)
    x, y = torch.randn(4, 3), torch.tensor([1, -1, 2, -1])
    rise = [loss(x, y, step, mixup=0.0, t=0.2, ramp=0.5)["guessed"].item() for step in (0, 5, 11, 23)]  # of 24 steps
    assert rise == pytest.approx([rise[-1] / 12, rise[-1] / 2, rise[-1], rise[-1]])


def test_without_mixing_and_weight_it_is_the_labels_alone(views):
    x, y = torch.randn(4, 3), torch.tensor([1, -1, 2, -1])
    got = loss(x, y, weight=0.0, mixup=0.0)
    assert got["guessed"].item() == 0
    assert got["hard"].item() == pytest.approx(torch.nn.functional.cross_entropy(x[[0, 2]], y[[0, 2]]).item())
