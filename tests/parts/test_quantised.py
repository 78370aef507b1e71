"""Sides of a box as classes."""

import pytest
import torch
import torch.nn.functional as F

from understudy.parts.boxes import iou
from understudy.parts.quantised import box_losses, certainty, middles, strips


def test_a_side_lies_within_half_a_strip_of_its_middle(double):
    boxes = 24 * torch.rand(50, 4)
    k = strips(boxes, 24, 12)
    assert ((k * 2 <= boxes) & (boxes < (k + 1) * 2)).all()
    assert torch.equal(middles(F.one_hot(k, 12).double(), 24), 2.0 * k + 1)
    assert strips(torch.tensor([-1.0, 24.0, 30.0, torch.nan]), 24, 12).tolist() == [0, 11, 11, 0]


def test_certainty_against_a_loop(double):
    logits = torch.randn(3, 4, 5)
    for n, said in enumerate(certainty(logits)):
        assert said.item() == pytest.approx(sum(max(logits[n, i].softmax(0).tolist()) for i in range(4)) / 4)


def test_losses_against_a_loop_and_without_a_box(double):
    low = 10 * torch.rand(6, 2)
    box, y, logits = torch.cat([low, low + 5], 1), torch.cat([low + 1, low + 8], 1), torch.randn(6, 4, 12)
    y[::2] = torch.nan
    off, strip = box_losses(box, logits, y, 24)
    rows = [1, 3, 5]
    wanted = [sum(abs(box[i] - y[i]).tolist()) / 24 + 1 - iou(box[i, None], y[i, None]).item() for i in rows]
    classes = [-logits[i, s].log_softmax(0)[int(y[i, s] // 2)].item() / 4 for i in rows for s in range(4)]
    assert off.item() == pytest.approx(sum(wanted) / 3) and strip.item() == pytest.approx(sum(classes) / 3)
    assert [v.item() for v in box_losses(box, logits, torch.full_like(y, torch.nan), 24)] == [0, 0]
