"""Hard features, maps, standardised networks and the autoencoder."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from understudy.parts.anomaly import Autoencoder, Standard, difference, hardest, normalised


def test_hardest_is_between_the_mean_and_the_largest() -> None:
    d = torch.tensor([[1.0, 2.0], [3.0, 10.0]])
    assert [hardest(d, q).item() for q in (0.0, 0.5, 1.0)] == pytest.approx([4.0, 6.5, 10.0])
    assert hardest(torch.full((3,), 2.0), 0.999).item() == 2
    assert hardest(d.bfloat16() * 1e4, 0.9).isfinite()


def test_difference_is_a_mean_over_channels() -> None:
    a = torch.zeros(1, 2, 1, 3)
    b = torch.tensor([[[[1.0, 0.0, 2.0]], [[1.0, 0.0, 4.0]]]])
    assert difference(a, b).tolist() == [[[1.0, 0.0, 10.0]]]


def test_quantiles_become_0_and_a_tenth() -> None:
    v = torch.tensor([1.0, 3.0, 5.0])
    assert normalised(v, v[0], v[1]).tolist() == pytest.approx([0, 0.1, 0.2])
    assert normalised(v, v[0], v[0]).isfinite().all()


def test_standard_channels() -> None:
    x = 5 + 3 * torch.randn(50, 2, 4, 4)
    deviation, mean = torch.std_mean(x, (0, 2, 3), correction=0)
    out = Standard(nn.Identity(), mean, deviation)(x)
    assert torch.allclose(out.mean((0, 2, 3)), torch.zeros(2), atol=1e-5)
    assert torch.allclose(out.std((0, 2, 3)), torch.ones(2), atol=1e-2)
    assert Standard(nn.Identity(), x.new_zeros(2), x.new_zeros(2))(x).isfinite().all()


@pytest.mark.parametrize(("shape", "size"), [((1, 32, 32), (9, 9)), ((3, 28, 20), (5, 3))])
def test_every_place_of_the_drawing_hangs_on_the_whole_picture(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    x = torch.randn(2, *shape, requires_grad=True)
    out = Autoencoder(x, 6, *size).eval()(x)
    assert out.shape == (2, 6, *size)
    out[0, :, 0, 0].sum().backward()
    assert x.grad is not None
    assert x.grad[0, :, -4:, -4:].any() and x.grad[0, :, :4, :4].any() and not x.grad[1].any()
