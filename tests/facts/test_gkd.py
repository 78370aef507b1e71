"""Generalised knowledge distillation."""

import pytest
import torch

from facts.given import terms
from understudy.core.batch import Batch
from understudy.core.registry import get
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.parts.divergence import kl, reverse_kl
from understudy.worlds import WORLDS

pytestmark = pytest.mark.usefixtures("double")


def divergence(beta, s, u):
    return terms(get("gkd")(beta=beta), None, Batch(x=s), student=s, teacher=u)["divergence"].item()


def test_the_generalised_divergence_by_its_definition():
    s, u = torch.randn(2, 5, 7), torch.randn(2, 5, 7)
    ls, lu = s.log_softmax(-1), u.log_softmax(-1)
    for beta in (0.1, 0.5, 0.9):
        m = (beta * lu.exp() + (1 - beta) * ls.exp()).log()
        want = beta * (lu.exp() * (lu - m)).sum(-1) + (1 - beta) * (ls.exp() * (ls - m)).sum(-1)
        assert divergence(beta, s, u) == pytest.approx(want.mean().item())


def test_its_ends_are_the_two_kls_and_what_it_tends_to():
    s, u = torch.randn(1, 5, 7), torch.randn(1, 5, 7)
    assert divergence(0.0, s, u) == pytest.approx(kl(u[0], s[0]).item()) == pytest.approx(divergence(1e-6, s, u) / 1e-6, rel=1e-4)
    assert (
        divergence(1.0, s, u)
        == pytest.approx(reverse_kl(u, s).item())
        == pytest.approx(divergence(1 - 1e-6, s, u) / 1e-6, rel=1e-4)
    )


def test_lmbda_is_how_often_the_student_writes():
    run = start(get("gkd")(lmbda=0.3), WORLDS["writing"](0, small=True), 0, device="cpu")
    wrote = 0
    for step in range(400):
        with stream("draw", step):
            wrote += "row" not in run.method.source(run)  # rows of the world are numbered
    assert wrote == pytest.approx(120, abs=4 * (400 * 0.3 * 0.7) ** 0.5)
