"""Token labels against values by hand; padding and hidden tokens stay out."""

from math import log

import pytest
import torch

from understudy.tasks import task


def test_tag():
    """Asked: sure and right; even and right by the first; even and wrong. Not asked: one hidden, two of padding."""
    out = torch.tensor([[[log(3.0), 0.0], [0.0, 0.0], [9.0, 0.0]], [[0.0, 0.0], [0.0, 9.0], [9.0, 0.0]]])
    y = torch.tensor([[0, 0, -1], [1, -1, -1]])
    m, nll = task("tag").metrics(out, y), (log(4 / 3) + 2 * log(2)) / 3
    assert next(iter(m)) == task("tag").metric == "accuracy" and m["accuracy"] == pytest.approx(2 / 3)
    assert m["f1"] == pytest.approx((0.8 + 0) / 2)  # of the first label 2 of 3 found, all right; of the second none
    assert m["nll"] == pytest.approx(nll) and task("tag").hard(out, y).item() == pytest.approx(nll)
    assert task("tag").predict(out).shape == (2, 3)
    assert task("tag").soft(out, out, 2.0).item() == pytest.approx(0, abs=1e-7)


def test_all_hidden_is_no_loss():
    out = torch.randn(2, 3, 4, requires_grad=True)
    task("tag").hard(out, torch.full((2, 3), -1)).backward()
    assert out.grad is not None and not out.grad.any()
