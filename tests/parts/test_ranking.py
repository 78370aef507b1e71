from __future__ import annotations

from math import log

import pytest
import torch

from understudy.parts.ranking import margins, ranknet


def test_margins_by_hand() -> None:
    assert margins(torch.tensor([[5.0, 3.0, 6.0]])).tolist() == [[2, -1]]


def test_ranknet_by_hand() -> None:
    """Pairs by grade: 0 over 1 with a lead of log 3, 0 over 2 with none; 1 and 2 are equals, 3 is hidden."""
    loss = ranknet(torch.tensor([[log(3.0), 0.0, log(3.0), 9.0]]), torch.tensor([[2, 1, 1, -1]]))
    assert loss.item() == pytest.approx((log(4 / 3) + log(2)) / 2, rel=1e-6)
    assert ranknet(torch.tensor([[1e4, -1e4]]), torch.tensor([[0, 1]])).item() == 2e4
