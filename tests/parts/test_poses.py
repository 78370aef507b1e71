"""Views of rows of any kind, and pictures in four poses."""

from __future__ import annotations

import pytest
import torch

from understudy.core.errors import Refused
from understudy.parts.poses import posed, strongly, weakly


@pytest.mark.parametrize("shape", [(64, 1, 12, 10), (64, 7), (64, 40, 3)])
def test_a_strong_view_is_further_away_than_a_weak_one(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape).cumsum(-1)
    near, far = ((view(x) - x).square().mean() for view in (weakly, strongly))
    assert 0 < near < far and weakly(x).shape == x.shape
    assert not torch.equal(weakly(x), weakly(x))


def test_words_are_refused() -> None:
    with pytest.raises(Refused, match="real numbers"):
        weakly(torch.zeros(2, 5, dtype=torch.long))


def test_quarter_turns_of_squares_and_mirrors_of_others() -> None:
    square, long = torch.arange(4.0).view(1, 1, 2, 2).expand(4, 1, 2, 2), torch.arange(6.0).view(1, 1, 2, 3).expand(4, 1, 2, 3)
    turned = posed(square, torch.arange(4))
    assert [t.flatten().tolist() for t in turned] == [[0, 1, 2, 3], [1, 3, 0, 2], [3, 2, 1, 0], [2, 0, 3, 1]]
    mirrored = posed(long, torch.arange(4))
    assert [t.flatten().tolist() for t in mirrored] == [
        [0, 1, 2, 3, 4, 5],
        [2, 1, 0, 5, 4, 3],
        [3, 4, 5, 0, 1, 2],
        [5, 4, 3, 2, 1, 0],
    ]
