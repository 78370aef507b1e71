"""Feelings in a voice, judged by concordance."""

import pytest
import torch

from understudy.tasks import task

NAN = float("nan")


def test_values_by_hand():
    """Column 0 is one too high everywhere, column 1 is right, column 2 never varies; the last row isn't labelled."""
    y = torch.tensor([[1.0, 1.0, 1.0], [2.0, 5.0, 2.0], [3.0, 2.0, 3.0], [NAN, NAN, NAN]])
    out = torch.tensor([[2.0, 1.0, 7.0], [3.0, 5.0, 7.0], [4.0, 2.0, 7.0], [9.0, 9.0, 9.0]])
    m = task("affect").metrics(out, y)
    assert next(iter(m)) == task("affect").metric == "ccc"
    assert m["ccc_0"] == pytest.approx(2 / 3) and m["ccc_1"] == pytest.approx(1) and m["ccc_2"] == 0  # torchmetrics has n - 1
    assert m["ccc"] == pytest.approx((2 / 3 + 1) / 3)
    hard = task("affect").hard(out, y).item()
    assert hard == pytest.approx((3 / 7 + 0 + 1) / 3, abs=1e-6)  # moments over n: 1 - (4/3) / (7/3)
    assert task("affect").soft(y[:3], y[:3], 2.0).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("y", [torch.full((3, 3), NAN), torch.tensor([[1.0, NAN, NAN]] + [[NAN] * 3] * 2)])
def test_nothing_to_be_heard(y):
    out = torch.randn(3, 3, requires_grad=True)
    loss = task("affect").hard(out, y)
    loss.backward()
    assert loss == 0 and not out.grad.any()
