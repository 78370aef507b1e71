"""TAID."""

import pytest
import torch

from understudy.core.batch import Batch
from understudy.core.fit import backward, turns
from understudy.core.registry import get
from understudy.core.run import start
from understudy.parts.divergence import kl
from understudy.worlds import WORLDS

pytestmark = pytest.mark.usefixtures("double")


def made(**fields):
    return start(get("taid")(**fields), WORLDS["texts"](0, small=True), 0, device="cpu")


def test_the_target_is_the_softmax_of_mixed_logits_and_no_gradient_enters_it():
    """By its gradient towards the student's logits, s - p_t, taken down to the weights by hand."""
    run = made(t_start=0.3)
    batch, terms = turns(run)
    backward(run, terms)
    ours = torch.cat([p.grad.flatten().clone() for p in run["student"].parameters()])
    run["student"].zero_grad()
    s, u = run["student"](batch.x).dense(), run["teacher"](batch.x).dense()
    target = (0.7 * s.detach() + 0.3 * u).softmax(-1)
    s.backward((s.detach().softmax(-1) - target) / s[..., 0].numel())
    assert torch.allclose(ours, torch.cat([p.grad.flatten() for p in run["student"].parameters()]), atol=1e-12)
    assert terms["student"]["interpolated"].item() == pytest.approx(
        (target * (target.log() - s.log_softmax(-1))).sum(-1).mean().item()
    )


def test_at_one_it_is_the_kl_to_the_teacher_and_at_zero_nothing():
    for t in (1.0, 0.0):
        run = made(t_start=t)
        batch, terms = turns(run)
        want = kl(run["teacher"](batch.x), run["student"](batch.x)).item() if t else 0
        assert terms["student"]["interpolated"].item() == pytest.approx(want, abs=1e-12)


def test_t_by_hand():
    """Losses 4, 2, 3 at steps 0, 1, 2 of 10 with b = 1/2, alpha = 1: relative falls 1/2 and -1/2, momentum 1/4 and -1/8."""
    run, seen = made(t_start=0.2, alpha=1.0, b=0.5), []
    run.world.steps = 10
    for step, loss in enumerate((4.0, 2.0, 3.0)):
        run.step = step
        run.method.after_step(run, Batch(loss=torch.tensor([loss])))
        seen.append((run["course"].momentum.item(), run["course"].t.item()))
    up = lambda x: 1 / (1 + torch.tensor(-x).exp().item())
    first = 0.2 + up(0.25) * 0.8
    assert (
        seen[0] == (0, 0.2)
        and seen[1] == pytest.approx((0.25, first))
        and seen[2] == pytest.approx((-0.125, first + up(-0.125) * (1 - first)))
    )


def test_it_never_falls_behind_the_line_nor_goes_past_the_end():
    run = made(t_start=0.2, t_end=0.9, alpha=0.0)
    run.world.steps = 10
    seen = []
    for run.step in range(12):
        run.method.after_step(run, Batch(loss=torch.tensor([1.0])))
        seen.append(run["course"].t.item())
    assert seen == pytest.approx([0.2, *(0.2 + 0.07 * k for k in range(1, 10)), 0.9, 0.9])
