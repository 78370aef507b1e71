"""Knowledge tracing: a sequence of right and wrong answers."""

from math import log

import pytest
import torch

from understudy.tasks import task

NAN = float("nan")


def test_values_by_hand():
    """Known answers: 1 at log 3, 0 at 0, 1 at -1; the one wrong of two pairs is (1 at -1) under (0 at 0), so the area is 1/2."""
    out, y = torch.tensor([[log(3.0), 0.0, 7.0], [-1.0, 3.0, 2.0]]), torch.tensor([[1.0, 0.0, NAN], [1.0, NAN, NAN]])
    m = task("trace").metrics(out, y)
    nll = (log(4 / 3) + log(2) + log(1 + torch.e)) / 3
    assert next(iter(m)) == task("trace").metric == "auc"
    assert m["auc"] == pytest.approx(0.5) and m["accuracy"] == pytest.approx(2 / 3) and m["nll"] == pytest.approx(nll, rel=1e-6)
    assert task("trace").hard(out, y).item() == pytest.approx(nll, rel=1e-6)
    assert task("trace").soft(out, out, 2.0).item() == pytest.approx(0, abs=1e-6)
    assert task("trace").predict(out)[0].tolist() == [True, False, True]


@pytest.mark.parametrize("y", [torch.full((2, 3), NAN), torch.ones(2, 3)])
def test_nothing_known_or_all_alike(y):
    out = torch.full((2, 3), 1e4, requires_grad=True)
    loss = task("trace").hard(out, y)
    loss.backward()
    assert loss == 0 and not out.grad.any()
    if y.isfinite().any():
        assert task("trace").metrics(out.detach(), y)["auc"] == 0.5
