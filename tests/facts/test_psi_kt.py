"""Knowledge tracing by a hierarchical state space."""

import pytest
import torch

from facts.reference import cases
from understudy.parts.state_space import correct, expected_log_bernoulli, normal_kl, ou, shifted


@cases("PSI-KT")
def test_knowledge_moves_as_the_authors_code_moves_it(record):
    n, length, k = (record["settings"][c] for c in "NLK")
    g = torch.Generator().manual_seed(record["seed"])
    s, z, gap, a = (
        torch.randn(size, generator=g, dtype=torch.double) for size in ((n, length, 4), (n, length, k), (n, length), (k, k))
    )
    a = (a > 0.3).double() * (1 - torch.eye(k, dtype=torch.double))
    mean, variance = [], []
    for i in range(1, length):
        rate, mu, sigma, gamma = s[:, i].split(1, -1)
        m, v = ou(
            z[:, i - 1], shifted(mu.expand(n, k), gamma.sigmoid(), z[:, i - 1], a), rate.abs() + 0.1, sigma, gap[:, i, None].abs()
        )
        mean.append(m)
        variance.append(v.expand(n, k))
    assert torch.stack(mean, 1).flatten().tolist() == pytest.approx(record["mean"], rel=1e-6)
    assert torch.stack(variance, 1).flatten().tolist() == pytest.approx(record["variance"], rel=1e-6)


def test_two_gaps_are_one():
    """An Ornstein-Uhlenbeck process has no memory of the way: moments over a + b are those over a, then b."""
    z, level, rate, sigma = (torch.tensor(v, dtype=torch.double) for v in (2.0, -0.5, 0.3, 0.7))
    m, v = ou(z, level, rate, sigma, torch.tensor(1.5))
    m2, v2 = ou(m, level, rate, sigma, torch.tensor(4.0))
    whole = ou(z, level, rate, sigma, torch.tensor(5.5))
    carried = v * torch.exp(-2 * rate * 4.0) + v2
    assert (m2.item(), carried.item()) == pytest.approx([t.item() for t in whole], rel=1e-6)


def test_the_bound_is_below_the_evidence_and_near_it():
    """log p(y) = log of the integral of Bernoulli(y; sigmoid(z)) N(z; m, v), against E_q log p(y | z) - KL(q || N(m, v))."""
    grid = torch.linspace(-30, 30, 60001, dtype=torch.double)
    for m, v, y in ((0.0, 1.0, 1.0), (2.0, 0.5, 0.0), (-1.0, 3.0, 1.0), (4.0, 1.5, 0.0)):
        m, v, y = (torch.tensor(t, dtype=torch.double) for t in (m, v, y))
        density = torch.exp(-(grid - m).square() / (2 * v)) / (2 * torch.pi * v).sqrt()
        evidence = torch.trapezoid(density * (grid * (2 * y - 1)).sigmoid(), grid).log()
        after = correct(m, v, y, torch.tensor(1.0))
        bound = expected_log_bernoulli(*after, y) - normal_kl(*after, m, v)
        assert 0 < evidence - bound < 0.05
