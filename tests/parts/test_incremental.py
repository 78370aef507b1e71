from __future__ import annotations

import pytest
import torch
from torch import nn

from understudy.core.errors import TapError
from understudy.parts.incremental import CLOSED, Classes, align_, classifier, only


def test_align_by_hand() -> None:
    w = torch.tensor([[3.0, 4.0], [0.0, 1.0], [6.0, 8.0], [2.0, 0.0]])
    old, new = torch.tensor([True, True, False, False]), torch.tensor([False, False, True, False])
    assert align_(w, old, new) == pytest.approx(0.3)  # mean of 5 and 1 over 10
    torch.testing.assert_close(w, torch.tensor([[3.0, 4.0], [0.0, 1.0], [1.8, 2.4], [2.0, 0.0]]))
    assert align_(w, old, ~old & ~new & ~w.any(1)) == 1.0 and align_(w, ~old & old, new) == 1.0


def test_closed_classes_are_finite_and_never_first() -> None:
    classes = Classes(3)
    assert only(torch.zeros(1, 3), classes.now(torch.tensor([-1]))).log_softmax(-1).isfinite().all()
    classes.meet(torch.tensor([2, -1]))
    assert only(torch.tensor([[1e4, 1e4, -1e4]]), classes.known).tolist() == [[CLOSED, CLOSED, -1e4]]


def test_the_classifier_is_found_or_missed_by_name() -> None:
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    assert classifier(net, torch.zeros(2, 4)) is net[2]
    with pytest.raises(TapError, match="last linear layer"):
        classifier(nn.Sequential(nn.Conv2d(1, 3, 1), nn.Flatten()), torch.zeros(2, 1, 1, 1))
