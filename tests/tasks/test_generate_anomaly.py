"""Generation and anomalies: metrics against values worked out by hand."""

from __future__ import annotations

import pytest
import torch

from understudy.tasks import task
from understudy.tasks.generate import energy_distance


def test_energy_distance() -> None:
    """Between 0 and {0, 2}: 2 * 1 - 0 - 1 = 1; of the same rows 0, and never below."""
    a, b = torch.tensor([[0.0]]), torch.tensor([[0.0], [2.0]])
    assert energy_distance(a, b).item() == pytest.approx(1)
    assert energy_distance(b, b.flip(0)).item() == 0
    assert energy_distance(torch.randn(9, 3), torch.randn(7, 3)).item() > 0


def test_generate() -> None:
    real = torch.cat([torch.arange(8.0), 100 + torch.arange(8.0)])[:, None]
    m = task("generate").metrics(real[:8], real)  # half of what there is, and nothing else
    assert next(iter(m)) == task("generate").metric == "energy"
    assert m["precision"] == 1 and m["recall"] == 0.5 and m["energy"] < 0
    y = torch.full((3, 2), float("nan"))
    out = torch.randn(4, 2, requires_grad=True)
    loss = task("generate").hard(out, y)
    loss.backward()
    assert loss.item() == 0 and out.grad is not None and not out.grad.any()
    y[0] = 1.0
    assert task("generate").hard(torch.ones(2, 2), y).item() == 0
    assert task("generate").predict(out) is out


def test_anomaly() -> None:
    """Three pairs of an anomalous and a normal row, two in order; one row is hidden. Sizes of scores don't matter, also huge ones."""
    out, y = torch.tensor([1e6, 3e6, 2e6, 4e6, -5e6]), torch.tensor([0, 0, 0, 1, -1])
    assert task("anomaly").metrics(out, y)["auroc"] == 1
    y = torch.tensor([0, 1, 0, 0, -1])
    m = task("anomaly").metrics(out, y)
    assert next(iter(m)) == task("anomaly").metric == "auroc"
    assert m["auroc"] == pytest.approx(2 / 3) and m["ap"] == pytest.approx(1 / 2)
    assert task("anomaly").metrics(out, torch.zeros(5, dtype=torch.long))["auroc"] == 0.5
    assert task("anomaly").predict(torch.tensor([[[0.0, 2.0]], [[-1.0, -2.0]]])).tolist() == [1, 0]


def test_anomaly_without_labels_is_no_loss() -> None:
    out = torch.randn(3, 2, 2, requires_grad=True)
    loss = task("anomaly").hard(out, torch.full((3,), -1))
    loss.backward()
    assert loss.item() == 0 and out.grad is not None and not out.grad.any()
