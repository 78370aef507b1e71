"""Policies: log-probabilities, advantages, the clipped ratio, estimators of the reverse KL and what their gradients are on average."""

from __future__ import annotations

import pytest
import torch

from understudy.parts.policy import group_advantage, reverse_kl, surrogate, token_logp


@pytest.fixture(autouse=True)
def _double(double: None) -> None:
    """By hand to many digits."""


def test_a_words_log_probability_is_that_after_the_words_before() -> None:
    logits, tokens = torch.randn(2, 4, 5), torch.randint(5, (2, 4))
    logp = token_logp(logits, tokens)
    assert logp.shape == (2, 3)
    assert logp[1, 2].exp().item() == pytest.approx(logits[1, 2].softmax(-1)[tokens[1, 3]].item())


def test_advantages_are_within_a_prompts_group() -> None:
    """Prompt 0: rewards 1, 0 (mean 1/2, unbiased std 1/sqrt 2); prompt 1: alike, so nothing is better; alone, neither."""
    a = group_advantage(torch.tensor([1.0, 1.0, 0.0, 1.0]), 2, eps=0)[[0, 2]]
    assert a.tolist() == pytest.approx([0.5 * 2**0.5, -0.5 * 2**0.5])
    assert group_advantage(torch.tensor([1.0, 1.0, 0.0, 1.0]), 2)[[1, 3]].tolist() == [0, 0]
    assert group_advantage(torch.tensor([1.0, 0.0]), 1).tolist() == [0, 0]


def test_the_ratio_is_clipped_where_that_makes_it_worse() -> None:
    logp = torch.tensor([0.5, 0.5, -0.5, -0.5, 0.0], requires_grad=True)
    s = surrogate(logp, torch.zeros(5), torch.tensor([1.0, -1.0, 1.0, -1.0, 3.0]), clip=0.2)
    e = torch.tensor(0.5).exp().item()
    assert s.tolist() == pytest.approx([1.2, -e, 1 / e, -0.8, 3.0])
    (grad,) = torch.autograd.grad(s.sum(), logp)
    assert grad.tolist() == pytest.approx([0, -e, 1 / e, 0, 3])


def _on_average(by: str) -> tuple[float, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Value and gradient expected over the words that s writes, and s, u."""
    torch.manual_seed(1)
    z, u = torch.randn(6, requires_grad=True), torch.randn(6).log_softmax(-1)
    s = z.log_softmax(-1)
    each = reverse_kl(s, u, by)
    (grad,) = torch.autograd.grad((s.detach().exp() * each).sum(), z)
    return (s.exp() * each).sum().item(), grad, s.detach(), u


def _gradient(f: object, s: torch.Tensor) -> torch.Tensor:
    z = s.clone().requires_grad_()
    return torch.autograd.grad(f(z.log_softmax(-1)), z)[0]  # type: ignore[operator]


def test_estimators_by_brute_force_over_all_words() -> None:
    for by in ("k1", "k2", "k3"):
        value, grad, s, u = _on_average(by)
        kl = (s.exp() * (s - u)).sum().item()
        want = {
            "k1": torch.zeros(6),
            "k2": _gradient(lambda q, u=u: (q.exp() * (q - u)).sum(), s),
            "k3": _gradient(lambda q, u=u: (u.exp() * (u - q)).sum(), s),
        }[by]
        assert torch.allclose(grad, want, atol=1e-12), by
        if by != "k2":
            assert value == pytest.approx(kl), by


def test_far_apart_is_finite() -> None:
    logp, guide = torch.tensor([-1e4, 0.0], requires_grad=True), torch.tensor([0.0, -1e4])
    for by in ("k1", "k2", "k3"):
        value = reverse_kl(logp, guide, by).sum()
        assert value.isfinite() and torch.autograd.grad(value, logp)[0].isfinite().all()
