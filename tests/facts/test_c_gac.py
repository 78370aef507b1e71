"""C-GAC: how sure two teachers are together, and who learns from whom."""

import math

import pytest
import torch

from understudy.core.fit import fit
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.methods import c_gac
from understudy.methods.pose.c_gac import covered, parted
from understudy.worlds.sticks import dusk


def begun(**how):
    run = start(c_gac(**how), dusk(0, small=True), 0, device="cpu")
    with stream(0), torch.no_grad():
        return run, run.method.source(run)


def test_confidence_by_a_loop(double):
    run, batch = begun(doubt=0.7, doubt_mask=5.0)
    (h_1, m_1), (h_2, m_2) = (parted(run[name](batch.x)) for name in ("first", "second"))
    sigmoid = lambda z: 1 / (1 + math.exp(-z))
    for i in range(len(batch.x)):
        apart = sum((h_1[i, k] - h_2[i, k]).square().sum().item() / 2 for k in range(11)) / 11
        assert batch.w[i].item() == pytest.approx(2 * (1 - sigmoid(0.7 * apart)))
        between = (m_1[i].sigmoid() - m_2[i].sigmoid()).abs().mean().item()
        assert batch.v[i].item() == pytest.approx(2 * (1 - sigmoid(5 * between)))


def test_who_agrees_is_believed_and_doubt_of_nothing_believes_everything(double):
    run, _ = begun()
    run["second"].load_state_dict(run["first"].state_dict())
    with stream(0), torch.no_grad():
        assert (run.method.source(run).w == 1).all()
    _, batch = begun(doubt=0.0, doubt_mask=0.0)
    assert (batch.w == 1).all() and (batch.v == 1).all()


def test_confidence_is_a_weight_of_the_row(double):
    run, batch = begun(weight=2.0)
    whole = run.method.loss(run, batch)["student"]
    s = run["student"](batch.turned)
    each = (s[:, :11] - batch.said[:, :11]).square().sum((2, 3)).mean(1) / 2
    assert whole["joints"].item() == pytest.approx(2 * (batch.w * each).mean().item())
    assert whole["mask"].item() == pytest.approx(2 * (batch.v * covered(s[:, 11], batch.said[:, 11])).mean().item())


def test_teachers_take_turns_learn_from_the_student_and_stay_two(double):
    run, batch = begun()
    terms = run.method.loss(run, batch)
    assert terms.keys() == {"student", "first"}
    run.step = 1
    assert run.method.loss(run, batch).keys() == {"student", "second"}
    run.step = 0
    before = run["second"].head.weight.clone()
    fit(run, 1)
    assert torch.equal(run["second"].head.weight, before)
    fit(run, 6)
    assert not torch.equal(run["first"].head.weight, run["second"].head.weight)
    told = torch.autograd.grad(sum(terms["first"].values()), list(run["student"].parameters()), allow_unused=True)
    assert all(g is None for g in told), "no gradient of a teacher's reaches the student"
