"""Joints and masks: what counts, and what is hidden."""

import math

import pytest
import torch

from understudy.parts.joints import heatmaps
from understudy.tasks import task

NAN = math.nan
JOINTS = torch.tensor([[[0.1, 0.2], [NAN, NAN]], [[-0.3, 0.4], [0.5, -0.5]]])
MASK = torch.stack([torch.eye(12).long(), torch.full((12, 12), -1)])


def test_hidden_joints_and_places_count_for_nothing():
    out = torch.randn(2, 3, 12, 12, requires_grad=True)
    task("pose").hard(out, {"joints": JOINTS, "mask": MASK}).backward()
    assert not out.grad[0, 1].any() and not out.grad[1, 2].any() and out.grad[0, 2].all() and out.grad[1, 1].all()
    hidden = task("pose").hide({"joints": JOINTS, "mask": MASK}, slice(None))
    assert task("pose").hard(out, hidden) == 0


def test_hard_is_half_the_squared_distance_plus_the_masks_cross_entropy():
    out = torch.cat([heatmaps(JOINTS, 12), torch.zeros(2, 1, 12, 12)], 1)
    assert task("pose").hard(out, {"joints": JOINTS, "mask": MASK}).item() == pytest.approx(math.log(2))
    out[1, 1, 3, 3] += 1
    assert task("pose").hard(out, {"joints": JOINTS}).item() == pytest.approx(0.5 / 3)


def test_figures():
    out = torch.cat([heatmaps(JOINTS, 12), 9.0 * torch.eye(12).expand(2, 1, 12, 12) - 1], 1)
    said = task("pose").metrics(out, {"joints": JOINTS, "mask": MASK})
    assert said["pck"] == 1 and said["error"] < 0.02 and said["iou"] == 1 and next(iter(said)) == task("pose").metric
    aside = JOINTS + torch.tensor([[[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.5], [0.0, 0.0]]])
    assert task("pose").metrics(heatmaps(aside, 12), {"joints": JOINTS})["pck"] == pytest.approx(2 / 3)
    assert task("pose").predict(out).shape == (2, 3, 2)
