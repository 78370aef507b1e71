"""Ranking against values worked out by hand."""

from __future__ import annotations

from math import exp, log, log2

import pytest
import torch

from understudy.tasks import task


def test_rank() -> None:
    """One query whose grades come out in the order 1, 3, 0; a hidden document stays out, and so does a query without an answer."""
    rank = task("rank")
    out, y = torch.tensor([[2.0, 3.0, 1.0, 9.0], [1.0, 2.0, 3.0, 4.0]]), torch.tensor([[3, 1, 0, -1], [0, 0, 0, 0]])
    m = rank.metrics(out, y)
    assert next(iter(m)) == rank.metric == "ndcg@10" and m["mrr"] == 1
    assert m["ndcg@10"] == pytest.approx((1 + 3 / log2(3)) / (3 + 1 / log2(3)), rel=1e-6)
    pairs = [log(1 + exp(-lead)) for lead in (-1, 1, 2)]  # 3 over 1, 3 over 0, 1 over 0
    assert rank.hard(out[:1], y[:1]).item() == pytest.approx(sum(pairs) / 3, rel=1e-6)
    assert rank.predict(out).tolist() == [[3, 1, 0, 2], [3, 2, 1, 0]]
    assert rank.metrics(-y.float(), torch.tensor([[0, 0, 1, 0], [0, 0, 0, 0]]))["mrr"] == pytest.approx(0.5)


def test_hidden_judgements_are_no_loss() -> None:
    out = torch.randn(3, 2, requires_grad=True)
    loss = task("rank").hard(out, torch.full((3, 2), -1))
    loss.backward()
    assert loss.item() == 0 and out.grad is not None and not out.grad.any()
