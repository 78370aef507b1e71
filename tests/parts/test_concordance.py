"""Concordance, also where labels are hidden or nothing varies."""

import pytest
import torch

from understudy.parts.concordance import ccc

NAN = float("nan")


def test_hidden_rows_are_left_out_of_their_column():
    a, b = torch.randn(6, 2, dtype=torch.double), torch.randn(6, 2, dtype=torch.double)
    b[2, 0] = b[5, 0] = NAN
    seen = [0, 1, 3, 4]
    assert ccc(a, b)[0].item() == pytest.approx(ccc(a[seen], b[seen])[0].item())
    assert ccc(a, b)[1].item() == pytest.approx(ccc(a[:, 1:], b[:, 1:]).item())


@pytest.mark.parametrize("b", [torch.full((4, 3), NAN), torch.ones(4, 3), torch.randn(4, 3) * 1e4])
@pytest.mark.parametrize("dtype", [torch.float, torch.double, torch.bfloat16])
def test_values_and_gradients_are_finite(b, dtype):
    for a in (torch.zeros(4, 3), torch.ones(4, 3) * 1e4, torch.randn(4, 3) * 1e4):
        a = a.to(dtype).requires_grad_()
        value = ccc(a, b.to(dtype))
        value.sum().backward()
        assert value.isfinite().all() and a.grad.isfinite().all() and (value.abs() <= 1 + 1e-5).all()
    assert not ccc(torch.ones(1, 3), torch.ones(1, 3)).any()
