"""Visual words."""

from __future__ import annotations

import pytest
import torch

from understudy.parts.words import Vocabulary


def test_a_bag_by_hand(double: None) -> None:
    words = Vocabulary(3, 2, delta=0.5, m=0.9)
    words.ring.rows.copy_(torch.tensor([[0.0, 0], [1, 0], [0, 2]]))
    f = torch.tensor([[[[0.0, 1.0]], [[0.0, 1.0]]]])  # places (0, 0) and (1, 1)
    far = torch.tensor([[0.0, 1, 4], [2, 1, 2]])
    spread = 0.9 * 0.5 + 0.1 * (0 + 1) / 2
    top = (-far / (0.5 * spread)).softmax(1).amax(0)
    torch.testing.assert_close(words(f)[0], top / top.sum())
    assert words.spread.item() == 0.5
    words.add(f)
    assert words.spread.item() == pytest.approx(spread)


def test_the_oldest_word_goes_and_a_place_or_its_neighbourhood_comes(double: None) -> None:
    words = Vocabulary(4, 2)
    small, large = torch.randn(2, 2, 2, 2), torch.randn(3, 2, 3, 3)
    words.add(small)
    for n in range(2):
        assert (words.ring.rows[n] == small[n].flatten(1).T).all(1).any()
    words.add(large)
    torch.testing.assert_close(words.ring.rows[[2, 3, 0]], large.mean((2, 3)))
    bag = words(large)
    torch.testing.assert_close(bag.sum(1), torch.ones(3))
