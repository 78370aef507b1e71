"""Language: values by hand; hidden places stay out."""

from __future__ import annotations

import math

import pytest
import torch

from understudy.tasks import task


def test_lm() -> None:
    """Two letters. Row 0: certain 3/4 of both its letters, the first hidden; row 1: even, then wrong at 3/4; row 2: all hidden."""
    sure, even = [math.log(3.0), 0.0], [0.0, 0.0]
    out = torch.tensor([[sure, sure], [even, sure], [sure, sure]])
    y = torch.tensor([[-1, 0], [0, 1], [-1, -1]])
    nll = (math.log(4 / 3) + math.log(2) + math.log(4)) / 3
    t = task("lm")
    assert t.hard(out, y).item() == pytest.approx(nll, rel=1e-6)
    m = t.metrics(out, y)
    assert (
        next(iter(m)) == t.metric == "exact" and m["exact"] == 0.5 and m["perplexity"] == pytest.approx(math.exp(nll), rel=1e-5)
    )
    assert t.soft(torch.zeros(1, 2, 2), out[:1], 1.0).item() == pytest.approx(
        0.75 * math.log(1.5) + 0.25 * math.log(0.5), rel=1e-5
    )
    assert t.soft(out[:1], torch.zeros(1, 2, 2), 1.0).item() == pytest.approx(-0.5 * math.log(0.75), rel=1e-5)
    assert t.predict(out).tolist() == [[0, 0], [0, 0], [0, 0]]


def test_all_hidden_gives_nothing_to_learn() -> None:
    out = torch.randn(2, 3, 4, requires_grad=True)
    loss = task("lm").hard(out, task("lm").hide(torch.zeros(2, 3, dtype=torch.long), slice(None)))
    loss.backward()
    assert loss.item() == 0 and out.grad is not None and not out.grad.any()
