"""Non-saturating losses."""

from __future__ import annotations

import math

import pytest
import torch

from understudy.parts.gan import pass_as_real, tell


def test_who_cannot_tell_loses_two_bits_worth() -> None:
    assert tell(torch.zeros(3), torch.zeros(5)).item() == pytest.approx(2 * math.log(2))
    assert pass_as_real(torch.zeros(4)).item() == pytest.approx(math.log(2))


def test_a_sure_critic_leaves_the_generator_its_gradient() -> None:
    made = torch.tensor([-1e4, 0.0], requires_grad=True)
    pass_as_real(made).backward()
    assert made.grad is not None
    assert made.grad.tolist() == pytest.approx([-0.5, -0.25])
    assert tell(torch.tensor([1e4]), torch.tensor([-1e4])).item() == 0
    assert pass_as_real(torch.tensor([-1e4], dtype=torch.bfloat16)).dtype == torch.float
