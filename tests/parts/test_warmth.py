"""A temperature for every place, and noise."""

from __future__ import annotations

import pytest
import torch

from understudy.core.errors import Refused
from understudy.core.seeds import stream
from understudy.parts.divergence import kl
from understudy.parts.lazy import Head, Lazy
from understudy.parts.warmth import noisy, warmed


def lazy(bias: bool = False, cap: float | None = None, seed: str = "lazy") -> Lazy:
    with stream(seed):
        b = torch.randn(11) if bias else None
        return Lazy((Head(torch.randn(3, 4, 5, requires_grad=True), torch.randn(13, 5)[:11], b, 1.5, cap),), 9)


@pytest.mark.parametrize("bias", [False, True])
def test_logits_are_divided_place_by_place(double: None, bias: bool) -> None:
    z, t = lazy(bias), torch.rand(3, 4) + 0.5
    assert torch.allclose(warmed(z, t).dense(), z.dense() / t[..., None])
    assert torch.allclose(warmed(z.dense(), t), z.dense() / t[..., None])


def test_a_divergence_at_many_temperatures_is_that_of_each_place_at_its_own(double: None) -> None:
    u, s, t = lazy(seed="u").detach(), lazy(seed="s"), torch.tensor([[1.0, 2.0, 5.0, 0.5]]).expand(3, 4)
    found = kl(warmed(u, t), warmed(s, t), each=True)
    wanted = [
        (kl(u.dense()[i, j][None], s.dense()[i, j][None], t[i, j].item()) / t[i, j] ** 2).item()
        for i in range(3)
        for j in range(4)
    ]
    assert found.tolist() == pytest.approx(wanted)


def test_a_capped_head_is_refused() -> None:
    with pytest.raises(Refused, match="soft cap"):
        warmed(lazy(cap=30.0), torch.ones(3, 4))


def test_noise_has_its_scale_and_no_bias(double: None) -> None:
    z = lazy()
    with stream("noise"):
        apart = torch.stack([noisy(z, 0.3).dense() - z.dense() for _ in range(400)])
        dense = torch.stack([noisy(z.dense(), 0.3) - z.dense() for _ in range(400)])
    for found in (apart, dense):
        assert found.std().item() == pytest.approx(0.3, rel=0.05) and abs(found.mean().item()) < 0.01
    assert noisy(z, 0.0) is z
