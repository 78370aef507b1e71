"""DistiLLM."""

import pytest
import torch

from facts.given import terms
from understudy.core.batch import Batch
from understudy.core.registry import get
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.worlds import WORLDS

pytestmark = pytest.mark.usefixtures("double")


def made(**fields):
    return start(get("distillm")(**fields), WORLDS["writing"](0, small=True), 0, device="cpu")


def test_both_skews_by_their_definitions():
    s, u = torch.randn(2, 5, 7), torch.randn(2, 5, 7)
    p, q = u.softmax(-1), s.softmax(-1)
    want = {"skl": p * (p / (0.1 * p + 0.9 * q)).log(), "srkl": q * (q / (0.9 * p + 0.1 * q)).log()}
    for kind, each in want.items():
        batch = Batch(x=s, y=torch.zeros(2, 5, dtype=torch.long))
        assert terms(get("distillm")(kind=kind), None, batch, student=s, teacher=u)["skewed"].item() == pytest.approx(
            each.sum(-1).mean().item()
        )


def test_the_gradient_stays_bounded_where_a_kls_grows():
    """Section 3.1: with a word of the teacher's that the student all but excludes, d KL / d q is -p / q, that of SKL at most -p / (alpha p)."""
    q = torch.tensor([1e-9, 1 - 1e-9], requires_grad=True)
    p = torch.tensor([0.5, 0.5])
    (grad,) = torch.autograd.grad((p * (p / (0.1 * p + 0.9 * q)).log()).sum(), q)
    assert grad[0].abs() < 0.9 / 0.1 + 1e-6


def test_phi_rises_only_where_the_loss_on_texts_has_and_by_how_much():
    run, seen = made(every=2, eps=0.1, rise=0.1), []
    for run.step, loss in enumerate(
        (2.0, 2.0, 1.0, 1.0, 2.0, 2.1, 2.3, 2.1, 2.2, 2.2, 2.4, 2.4)
    ):  # looks at 2, 1, 2.05, 2.2, 2.2, 2.4
        run.method.after_step(run, Batch(text=torch.tensor([loss])))
        seen.append(round(run["use"].phi.item(), 9))
    assert seen[1::2] == [0, 0, 0, 0.1, 0.1, 0.2]


def test_when_it_writes_and_when_it_takes_what_it_wrote():
    """At phi 1, half-way, with room for 8: all steps are on its own writing, fresh ones until there are 8, then every other one."""
    run = made(phi=1.0, capacity=8)

    def kinds(n):
        found = []
        for i in range(n):
            with stream("draw", run.step, i):
                found.append(run.method.source(run))
        return found

    run.step = run.world.steps // 2
    first = kinds(20)
    assert all("fresh" in b for b in first)
    run.method.after_step(run, first[0])
    later = kinds(200)
    fresh = sum("fresh" in b for b in later)
    assert fresh == pytest.approx(100, abs=30) and all("fresh" in b or "old" in b for b in later)
    old = next(b for b in later if "old" in b)
    rows = {tuple(r) for r in torch.cat([first[0].x["input_ids"], first[0].y], 1).tolist()}
    assert {tuple(r) for r in torch.cat([old.x["input_ids"], old.y], 1).tolist()} == rows
    assert torch.equal(old.x["asked"], old.y >= 0)
