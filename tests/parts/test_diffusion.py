"""Noise, preconditioning and the generator of few steps, against values worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from understudy.parts.diffusion import Sampler, denoising, karras, matching, noised, precondition, simulate


class Best(nn.Module):
    """E[x | x + sigma e] of rows that are normal with mean m and deviation d."""

    def __init__(self, m: float, d: float) -> None:
        super().__init__()
        self.m, self.d = m, d

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        s = sigma[:, None]
        return (self.d**2 * x + s**2 * self.m) / (self.d**2 + s**2)


def test_the_noise_has_the_deviation_it_was_asked_for() -> None:
    torch.manual_seed(0)
    x = noised(torch.ones(2, 3, 20000), torch.tensor([0.5, 40.0]))
    assert x.shape == (2, 3, 20000)
    assert x.flatten(1).std(1).tolist() == pytest.approx([0.5, 40.0], rel=0.02)


def test_levels_run_from_low_to_high() -> None:
    u = torch.tensor([0.0, 0.5, 1.0], dtype=torch.double)
    assert karras(u, 0.01, 9.0, 2.0).tolist() == pytest.approx([0.01, ((0.1 + 3) / 2) ** 2, 9.0])


def test_preconditioning_is_exact_for_normal_rows() -> None:
    """For rows of mean 0 and deviation `data` the inner network of the best denoiser is 0: c_skip x is the answer already."""
    sigma, x = torch.tensor([0.1, 0.5, 20.0]), torch.randn(3, 1)
    skip, size, small = precondition(sigma, 0.5)
    assert torch.allclose(skip[:, None] * x, Best(0.0, 0.5)(x, sigma))
    assert torch.allclose(small**2 * (sigma**2 + 0.25), torch.ones(3))
    assert torch.allclose(size**2, skip * sigma**2)  # what is left to say has the variance data^2 sigma^2 / (data^2 + sigma^2)


def test_denoising_weighs_an_error_by_its_level() -> None:
    x, guess = torch.zeros(2, 1), torch.tensor([[1.0], [2.0]])
    assert denoising(guess, x, torch.tensor([0.5, 1.0]), 0.5).item() == pytest.approx(((4 + 4) * 1 + (1 + 4) * 4) / 2)


def test_matching_is_the_gradient_of_a_divergence() -> None:
    """Rows of N(2, 1), data of N(0, 1): the pull goes down, is the same for every row but for its size, and stops at a match."""
    x, sigma = torch.randn(5, 1, dtype=torch.double) + 2, torch.full((5,), 0.7, dtype=torch.double)
    x.requires_grad_()
    noisy = noised(x.detach(), sigma)
    matching(x, Best(0, 1)(noisy, sigma), Best(2, 1)(noisy, sigma)).backward()
    size = (x.detach() - Best(0, 1)(noisy, sigma)).abs()
    assert x.grad is not None
    assert torch.allclose(x.grad * size * 5, torch.full_like(size, 2 * 0.49 / 1.49))
    assert matching(x, x.detach(), x.detach()).item() == 0


def test_a_sampler_of_few_steps_draws_what_the_best_denoiser_knows() -> None:
    """Rows without spread are found in one step; of the others more steps find more of the spread."""
    z = torch.randn(4000, 1)
    assert torch.allclose(simulate(Best(3.0, 0.0), z, torch.tensor([80.0])), torch.full_like(z, 3.0))
    assert simulate(Best(3.0, 1.0), z, torch.tensor([])).eq(0).all()
    torch.manual_seed(0)
    one, four = (Sampler(Best(0.0, 1.0), torch.tensor(s))(z).std().item() for s in ([80.0], [80.0, 3.0, 1.0, 0.3]))
    assert one < 0.05 and 0.5 < four < 1
