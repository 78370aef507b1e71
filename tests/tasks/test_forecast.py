"""The next values of a series."""

import pytest
import torch

from understudy.tasks import task

NAN = float("nan")


@pytest.mark.parametrize("channels", [0, 2])
def test_values_by_hand(channels):
    """Errors 1, 0 of series 0; 0, hidden of series 1: truths 0, 2, 4 have variance 8/3, and the mean squared error is 1/3."""
    y, out = torch.tensor([[0.0, 2.0], [4.0, NAN]]), torch.tensor([[1.0, 2.0], [4.0, 9.0]])
    if channels:
        y, out = (t[..., None].expand(2, 2, channels) for t in (y, out))
    m = task("forecast").metrics(out, y)
    assert next(iter(m)) == task("forecast").metric == "r2"
    assert m["r2"] == pytest.approx(1 - (1 / 3) / (8 / 3)) and m["mae"] == pytest.approx(1 / 3)
    assert m["first"] == pytest.approx(0.5**0.5) and m["last"] == 0
    assert task("forecast").hard(out, y).item() == pytest.approx(1 / 3)
    assert task("forecast").soft(out, out, 2.0) == 0


def test_all_hidden():
    out = torch.full((2, 3), 1e4, requires_grad=True)
    loss = task("forecast").hard(out, torch.full((2, 3), NAN))
    loss.backward()
    assert loss == 0 and not out.grad.any()
