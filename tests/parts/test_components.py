"""Regions, Dice and pasting against other libraries and by hand."""

import pytest
import torch
from scipy.ndimage import label

from understudy.parts.components import components, largest
from understudy.parts.dice import dice, pixel_cross_entropy
from understudy.parts.mix import paste, window


def test_regions_are_scipys():
    masks = torch.rand(5, 12, 17, generator=torch.Generator().manual_seed(0)) < 0.4
    for mine, mask in zip(components(masks), masks, strict=True):
        theirs = torch.as_tensor(label(mask.numpy(), [[1] * 3] * 3)[0])
        pairs = {(a, b) for a, b in zip(mine.flatten().tolist(), theirs.flatten().tolist(), strict=True)}
        assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}), "one to one"
        assert torch.equal(mine == 0, theirs == 0)


def test_the_largest_of_each_class_stays():
    y = torch.tensor([[[1, 0, 1, 1], [0, 0, 0, 0], [2, 0, 0, 2], [2, 2, 0, 0]]])
    assert largest(y, 3).tolist() == [[[0, 0, 1, 1], [0, 0, 0, 0], [2, 0, 0, 0], [2, 2, 0, 0]]]
    assert not largest(torch.zeros_like(y), 3).any() and largest(y[:0], 3).shape == y[:0].shape


def test_a_snake_is_one_region():
    mask = torch.zeros(1, 9, 9, dtype=torch.bool)
    mask[:, ::4], mask[:, 1:4, 8], mask[:, 5:8, 0] = True, True, True
    assert len(components(mask).unique()) == 2


def test_dice_by_hand_and_nothing_where_nothing_is_known():
    """Two pixels of class 0, one of class 1, a fourth hidden; everywhere p = 1/2: 1 - 2 * 1 / (3/4 + 2) and 1 - 2 * (1/2) / (3/4 + 1)."""
    logits, y = torch.zeros(1, 2, 2, 2, requires_grad=True), torch.tensor([[[0, 0], [1, -1]]])
    assert dice(logits, y, y >= 0).item() == pytest.approx(1 - (2 / 2.75 + 1 / 1.75) / 2)
    assert pixel_cross_entropy(logits, y, y >= 0).item() == pytest.approx(torch.tensor(2.0).log().item())
    none = dice(logits, y, y > 9) + pixel_cross_entropy(logits, y, y > 9)
    none.backward()
    assert none == 0 and not logits.grad.any()


def test_a_window_is_as_large_as_it_should_be_wherever_it_is():
    torch.manual_seed(0)
    masks = [window(9, 12, 2 / 3) for _ in range(40)]
    assert all((~m).sum() == 6 * 8 for m in masks) and len({m.numpy().tobytes() for m in masks}) > 10
    assert window(5, 5, 0.0).all() and not window(5, 5, 1.0).any()
    assert paste(torch.ones(2, 3, 9, 12), torch.zeros(2, 3, 9, 12), masks[0]).mean().item() == pytest.approx(1 - 48 / 108)
