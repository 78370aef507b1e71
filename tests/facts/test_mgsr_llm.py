"""Multi-granularity semantic revision."""

import itertools

import pytest
import torch

from understudy.core.fit import turns
from understudy.core.registry import get
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.methods.language.mgsr_llm import Bounds
from understudy.parts.divergence import kl
from understudy.worlds import WORLDS

pytestmark = pytest.mark.usefixtures("double")


def made(**fields):
    run = start(get("mgsr-llm")(**fields), WORLDS["writing"](0, small=True), 0, device="cpu")
    with stream("here"):
        return run, *turns(run)


def test_the_gates_by_hand():
    """p = 1/2, 1/4, 1/8, 1/8: the middles of their mass are at 1/4, 5/8, 13/16, 15/16; bounds of 0.3 and 0.9 keep the second and third, and
    the last since it was written."""
    bounds = Bounds(top=2, width=1e-3)
    bounds.forward = lambda p, q: (torch.tensor([[0.3]]), torch.tensor([[0.9]]))
    u = torch.tensor([[0.125, 0.5, 0.25, 0.125]]).log()
    m = bounds.gates(u, torch.zeros(1, 4), torch.tensor([3])).exp()
    assert m[0, [1, 2, 3]].tolist() == pytest.approx([0, 1, 1], abs=1e-9) and m[0, 0].item() == pytest.approx(1)
    assert bounds.gates(u, torch.zeros(1, 4), torch.tensor([1])).exp()[0].tolist() == pytest.approx([1, 1, 1, 0], abs=1e-9)


def test_the_divergence_is_that_of_what_is_within_renormalised():
    run, batch, terms = made()
    s, u = (run[k](batch.x).rows().dense() for k in ("student", "teacher"))
    m = run["bounds"].gates(u, s, batch.y[batch.y >= 0]).exp()
    p, q = (m * x.softmax(-1) / (m * x.softmax(-1)).sum(-1, keepdim=True) for x in (u, s))
    assert terms["student"]["clipped"].item() == pytest.approx((p * (p / q).log()).sum(-1).mean().item())
    assert made(clip="none")[2]["student"]["clipped"].item() == pytest.approx(kl(u, s).item())


def test_the_bounds_learn_and_keep_their_order():
    run, _, terms = made()
    (grad,) = torch.autograd.grad(terms["student"]["clipped"], run["bounds"].net[2].bias)
    assert (grad != 0).all()
    low, high = run["bounds"](*torch.randn(2, 50, 280).mul(5).softmax(-1))
    assert ((low > 0) & (low < 0.5) & (high > 0.5) & (high < 1)).all()


def test_spans_by_hand_pair_by_pair():
    run, batch, terms = made(gamma=2.0, length=3)
    s, u = (run[k](batch.x).dense().softmax(-1) for k in ("student", "teacher"))
    total, n = 0.0, 0
    for row, wrote in enumerate((batch.y >= 0).tolist()):
        there = [k for k, w in enumerate(wrote) if w]
        for k, (a, b) in enumerate(itertools.pairwise(there)):
            if k % 3 != 2:  # the last word of a span has no neighbour in it
                total, n = total + (u[row, a] * u[row, b] - s[row, a] * s[row, b]).square().sum().item(), n + 1
    assert terms["student"]["span"].item() == pytest.approx(2 * total / n)


def test_what_is_put_right_is_the_teachers_likeliest_word():
    """One word of a text is the teacher's, and all before it are the student's own: the same chance writes the same words first."""
    run, plain, _ = made(correct=0)
    _, right, _ = made(correct=1)
    likeliest = run["teacher"](right.x).argmax()
    for i in range(len(plain.y)):
        first = (plain.y[i] != right.y[i]).nonzero()
        if len(first):
            assert right.y[i, first[0]] == likeliest[i, first[0]]
    assert not torch.equal(plain.y, right.y)
