"""Rows that fall into groups."""

from __future__ import annotations

import math

import pytest
import torch

from understudy.core.seeds import stream
from understudy.parts.groups import Groups, discrepancy, means, smoothed


def test_means_by_hand() -> None:
    assert means(torch.tensor([1.0, 2, 6]), torch.tensor([2, 0, 2]), 4).tolist() == [2, 0, 3.5, 0]


def test_a_ratio_of_perplexities_stays_finite() -> None:
    found = discrepancy(torch.tensor([math.log(6.0), 1e4]), torch.tensor([math.log(2.0), 0.0]))
    assert found[0].item() == pytest.approx(3) and found.isfinite().all()


def test_shares_by_hand(double: None) -> None:
    """psi = 0.2 e^1, 0.8 e^2; half of it and a quarter for each of the two."""
    psi = 0.2 * math.e, 0.8 * math.e**2
    wanted = [0.5 * p / sum(psi) + 0.25 for p in psi]
    assert smoothed(torch.tensor([0.2, 0.8]), torch.tensor([1.0, 2.0]), 0.5).tolist() == pytest.approx(wanted)
    assert smoothed(torch.tensor([0.2, 0.8]), torch.tensor([1.0, 2.0]), 0.0).tolist() == [0.5, 0.5]
    huge = smoothed(torch.tensor([0.5, 0.5]), torch.tensor([1e30, 1.0]), 1.0)
    assert huge.tolist() == [1, 0]


def test_draws_are_of_their_groups_in_their_shares() -> None:
    group = torch.tensor([0, 2, 0, 2, 2, 0])
    made = Groups(torch.arange(10, 16), group)
    assert made.share.tolist() == pytest.approx([1 / 3] * 3)
    with stream("groups"):
        drawn = made.draw(torch.tensor([0.25, 0.5, 0.25]), 4000)  # the second has no rows
    of = group[drawn - 10]
    assert set(drawn.tolist()) == set(range(10, 16))
    assert (of == 0).double().mean().item() == pytest.approx(0.5, abs=0.03)
    each = torch.bincount(drawn - 10).double() / 4000
    assert each.tolist() == pytest.approx([1 / 6] * 6, abs=0.03)
