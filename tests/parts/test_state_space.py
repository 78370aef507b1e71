"""Hidden states that drift and are corrected."""

import pytest
import torch
import torch.nn.functional as F

from understudy.parts.state_space import Learners, acting, correct, expected_log_bernoulli, normal_kl, ou


def rows(n=3, length=9, skills=4):
    return {
        "skill": torch.randint(skills, (n, length)),
        "answer": torch.randint(2, (n, length)),
        "time": torch.rand(n, length).cumsum(1),
    }


def test_ou_ends_where_it_tends_to():
    z, level, rate, sigma = (torch.tensor(v) for v in (2.0, -0.5, 0.3, 0.7))
    assert [t.item() for t in ou(z, level, rate, sigma, torch.tensor(0.0))] == pytest.approx([2.0, 0.0])
    assert [t.item() for t in ou(z, level, rate, sigma, torch.tensor(1e4))] == pytest.approx([-0.5, 0.49 / 0.6])


def test_kl_and_expectation_by_numbers():
    assert normal_kl(*(torch.tensor(v) for v in (1.0, 2.0, 1.0, 2.0))) == 0
    assert normal_kl(*(torch.tensor(v) for v in (1.0, 1.0, 0.0, 1.0))).item() == pytest.approx(0.5)
    m, v, y = torch.tensor([0.3, 3.0]), torch.tensor([1e-12, 0.25]), torch.tensor([1.0, 0.0])
    z = 3.0 + 0.5 * torch.randn(200_000, generator=torch.Generator().manual_seed(0))
    want = [F.logsigmoid(torch.tensor(0.3)).item(), F.logsigmoid(-z).mean().item()]
    assert expected_log_bernoulli(m, v, y).tolist() == pytest.approx(want, abs=5e-3)


def test_a_right_answer_raises_knowledge_and_any_answer_narrows_it():
    m, v, gain = torch.zeros(2), torch.ones(2), torch.tensor(1.0)
    after, tighter = correct(m, v, torch.tensor([1.0, 0.0]), gain)
    assert after.tolist() == pytest.approx([0.4, -0.4]) and tighter.tolist() == pytest.approx([0.8, 0.8])


def test_nothing_is_foretold_from_what_comes_later():
    x, net = rows(), Learners(4, 8).double()
    torch.nn.init.normal_(net.head.weight)
    other = {**x, "answer": x["answer"].clone()}
    other["answer"][:, 5:] = 1 - other["answer"][:, 5:]
    a, b = net(x), net(other)
    assert torch.equal(a[:, :6], b[:, :6]) and not torch.allclose(a[:, 6:], b[:, 6:])
    assert torch.equal(a, net(x)) and a.shape == (3, 9)


def test_where_answers_end_knowledge_only_drifts():
    x, net = rows(), Learners(4, 8).double()
    x["answer"][:, 4:] = -1
    before, spread, after, tighter = net.trace(x, net.traits(x)[0])
    assert torch.equal(before[:, 4:], after[:, 4:]) and torch.equal(spread[:, 4:], tighter[:, 4:])
    told = net.explain(x)
    assert told["traits"].shape == (3, 9, 4) and told["knowledge"].shape == (3, 9, 4)
    assert torch.equal(told["graph"].diagonal(), torch.zeros(4).double())
    assert (acting(torch.tensor([-50.0, -50.0, -50.0, -50.0])) > 0).tolist() == [True, False, True, True]


def test_hardly_an_answer_is_finite():
    x, net = rows(1, 3), Learners(4, 8)
    x["answer"][:] = -1
    x["time"][:] = 0
    out = net(x)
    out.sum().backward()
    assert out.isfinite().all() and all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)
