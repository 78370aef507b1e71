"""Losses and metrics of the tasks against values worked out by hand; hidden labels stay out."""

from __future__ import annotations

import math
from math import log

import pytest
import torch

from understudy.core.errors import Refused
from understudy.tasks import TASKS, task

NAN = float("nan")


def test_names() -> None:
    assert {t.name: t for t in TASKS.values()} == TASKS
    with pytest.raises(Refused, match="did you mean 'classify'"):
        task("clasify")


def test_classify() -> None:
    """Rows: sure and right; even, right by the first; even, wrong; hidden."""
    out, y = torch.tensor([[log(3.0), 0.0], [0.0, 0.0], [0.0, 0.0], [9.0, 0.0]]), torch.tensor([0, 0, 1, -1])
    m = task("classify").metrics(out, y)
    nll = (log(4 / 3) + 2 * log(2)) / 3
    assert next(iter(m)) == task("classify").metric == "accuracy"
    assert m["accuracy"] == pytest.approx(2 / 3) and m["nll"] == pytest.approx(nll, rel=1e-6)
    assert task("classify").hard(out, y).item() == pytest.approx(nll, rel=1e-6)
    assert task("classify").predict(out).tolist() == [0, 0, 0, 0]


def test_multilabel() -> None:
    """Labels (1,0), (1,1), one hidden; said (1,1), (1,0): one hit each row, so f1 = 2*2/(3+3); no row is right as a whole."""
    out, y = torch.tensor([[log(3.0), 1.0], [2.0, -2.0], [5.0, 5.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.0], [NAN, 1.0]])
    m = task("multilabel").metrics(out, y)
    assert m["f1"] == pytest.approx(2 / 3) and m["exact"] == 0 and next(iter(m)) == task("multilabel").metric
    one = torch.tensor([[log(3.0), 0.0]])
    assert task("multilabel").hard(one, torch.tensor([[1.0, NAN]])).item() == pytest.approx(log(4 / 3), rel=1e-6)
    assert task("multilabel").hard(one, torch.tensor([[1.0, 0.0]])).item() == pytest.approx((log(4 / 3) + log(2)) / 2, rel=1e-6)
    assert task("multilabel").predict(out).tolist() == [[True, True], [True, False], [True, True]]
    assert task("multilabel").metrics(y[:2] * 2 - 1, y[:2])["f1"] == 1


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_regress(shape: tuple[int, ...]) -> None:
    """y = 1, 2, 3 and a hidden one; answers 1, 2, 5: squared error 4/3, variance 2/3, so r2 = -1."""
    out, y = torch.tensor([[1.0], [2.0], [5.0], [9.0]]), torch.tensor([1.0, 2.0, 3.0, NAN]).view(shape)
    m = task("regress").metrics(out, y)
    assert m["r2"] == pytest.approx(-1) and m["rmse"] == pytest.approx((4 / 3) ** 0.5) and next(iter(m)) == task("regress").metric
    assert task("regress").hard(out, y).item() == pytest.approx(4 / 3)
    assert task("regress").soft(out, out + 2, 7.0).item() == pytest.approx(4)
    assert task("regress").predict(out).tolist() == [1.0, 2.0, 5.0, 9.0]
    assert task("regress").metrics(torch.tensor([[2.0]] * 3), torch.tensor([1.0, 2.0, 3.0]))["r2"] == pytest.approx(0)


def test_regress_of_several_numbers() -> None:
    y = torch.tensor([[1.0, 10.0], [3.0, NAN], [3.0, 30.0]])
    out = torch.tensor([[1.0, 10.0], [2.0, 99.0], [3.0, 30.0]], requires_grad=True)
    assert task("regress").hard(out, y).item() == pytest.approx(1 / 5)
    assert task("regress").metrics(out.detach(), y)["r2"] == 1  # rows with a hidden number stay out of the metrics
    task("regress").hard(out, y).backward()
    assert out.grad is not None and out.grad.isfinite().all() and out.grad[1, 1] == 0


@pytest.mark.parametrize(
    ("name", "y"),
    [("classify", torch.full((3,), -1)), ("multilabel", torch.full((3, 2), NAN)), ("regress", torch.full((3, 2), NAN))],
)
def test_all_labels_hidden_is_no_loss(name: str, y: torch.Tensor) -> None:
    out = torch.randn(3, 2, requires_grad=True)
    loss = task(name).hard(out, y)
    loss.backward()
    assert loss.item() == 0 and out.grad is not None and not out.grad.any()


@pytest.mark.parametrize("name", [n for n in TASKS if n != "detect"])  # whose answers are a dict: see test_places
def test_soft_of_agreement_is_nothing_and_half_precision_is_widened(name: str) -> None:
    out = torch.randn(3, 2)
    assert task(name).soft(out, out.clone(), 4.0).item() == pytest.approx(0, abs=1e-6)
    assert task(name).soft(out, out + torch.tensor([[1.0, 0.0]]), 4.0).item() > 0
    loud = 1e4 * out.bfloat16()
    assert task(name).soft(loud, -loud, 4.0).dtype == torch.float and math.isfinite(task(name).soft(loud, -loud, 4.0).item())
