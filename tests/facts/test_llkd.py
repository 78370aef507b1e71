"""LLKD."""

import math

import pytest
import torch

from facts.given import Given
from understudy.core import registry
from understudy.core.batch import Batch
from understudy.core.run import start
from understudy.worlds import WORLDS

pytestmark = pytest.mark.usefixtures("double")
U = torch.tensor([[3.0, 0, 0], [1.0, 0, 0], [0, 2.0, 0], [2.0, 0, 0]]).double()  # labels 0, 0, 1, 0
S = torch.tensor([[0.0, 1, 0], [0, 0, 0.5], [4.0, 0, 0], [0.0, 0, 6]]).double()


def run_of(**fields):
    run = start(registry.get("llkd")(**fields), WORLDS["unlabelled"](0, small=True), 0, device="cpu")
    run.nets["student"], run.nets["teacher"] = Given(S), Given(U)
    run.nets["sure"], run.nets["unsure"] = (type(run["sure"])(3, run.method.m) for _ in range(2))
    return run


def by_hand(tau_c, tau_h):
    total, kept = 0.0, 0
    for u, s in zip(U.tolist(), S.tolist(), strict=True):
        p, q = ([math.exp(v) / sum(map(math.exp, row)) for v in row] for row in (u, s))
        c, k, h = max(p), p.index(max(p)), -sum(v * math.log(v) for v in q) / math.log(3)
        if c >= tau_c[k] - 1e-12 and h >= tau_h[k] - 1e-12:
            total, kept = total - c * h * math.log(q[k]), kept + 1
    return total / max(kept, 1), kept


def test_selected_and_weighed_by_hand():
    """On a first batch a threshold is the mean of its class in it: the sure and unsure half of class 0, all of a class of one."""
    run = run_of()
    c, h = U.softmax(-1).amax(-1), -(S.softmax(-1) * S.log_softmax(-1)).sum(-1) / math.log(3)
    means = lambda v: [v[[0, 1, 3]].mean().item(), v[2].item(), 0.0]
    value, kept = by_hand(means(c), means(h))
    assert kept == 2  # rows 0 and 2
    assert run.method.loss(run, Batch(x=U, y=torch.full((4,), -1)))["pseudo"].item() == pytest.approx(value)


def test_thresholds_follow_training_each_for_itself():
    run, batch = run_of(m=0.9), Batch(x=U, y=torch.full((4,), -1))
    run.method.loss(run, batch)
    run.method.after_step(run, batch)
    first = run["sure"].mean.clone()
    run.nets["teacher"] = Given(U[:, [1, 0, 2]] * 0.5)  # class 1 thrice, 0 once
    batch = Batch(x=U, y=batch.y)
    run.method.loss(run, batch)
    run.method.after_step(run, batch)
    c = (U * 0.5).softmax(-1).amax(-1)
    now = torch.stack([c[2], c[[0, 1, 3]].mean()])
    assert run["sure"].mean[:2].tolist() == pytest.approx((0.9 * first[:2] + 0.1 * now).tolist())
    assert run["sure"].mean[2] == 0


def test_everything_switched_off_is_learning_from_pseudo_labels():
    run = run_of(keep="all", weigh="no")
    value = run.method.loss(run, Batch(x=U, y=torch.full((4,), -1)))["pseudo"]
    assert value.item() == pytest.approx(torch.nn.functional.cross_entropy(S, torch.tensor([0, 0, 1, 0])).item())
