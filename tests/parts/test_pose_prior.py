"""A field of poses."""

from __future__ import annotations

import pytest
import torch

from understudy.parts.joints import bones
from understudy.parts.pose_prior import PoseField, noised, off

PARENTS = (0, 1, 1)


def test_the_distance_to_the_nearest_by_a_loop(double: None) -> None:
    way, clean = bones(torch.randn(3, 4, 2), torch.tensor(PARENTS)), bones(torch.randn(6, 4, 2), torch.tensor(PARENTS))
    for row, got in zip(way, off(way, clean, 2), strict=True):
        each = sorted(float(((row - c) ** 2).sum(-1).mean() ** 0.5) for c in clean)
        assert got.item() == pytest.approx((each[0] + each[1]) / 2)
    assert off(clean, clean, 1).abs().max() < 1e-6


def test_noise_keeps_the_length_of_bones() -> None:
    way = bones(torch.randn(50, 4, 2), torch.tensor(PARENTS))
    far = noised(way, 0.5)
    torch.testing.assert_close(far.norm(dim=-1), torch.ones(50, 3))
    torch.testing.assert_close(noised(way, 0.0), way)
    assert not torch.allclose(far, way)


def test_size_and_place_of_a_figure_do_not_matter_and_a_gradient_passes() -> None:
    field, joints = PoseField(PARENTS), torch.randn(5, 4, 2)
    torch.testing.assert_close(field(joints), field(3 * joints + 0.2))
    joints.requires_grad_()
    field(joints).sum().backward()
    assert field(joints).shape == (5,) and (field(joints) >= 0).all() and joints.grad is not None and joints.grad.isfinite().all()
