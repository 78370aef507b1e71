"""Joints as points and as heatmaps."""

from __future__ import annotations

import math

import pytest
import torch

from understudy.parts.joints import apart, bones, cells, distance, expected, found, heatmaps, keypoint_cut, keypoint_mix, peaks


def test_a_bump_is_where_the_joint_is_and_a_hidden_one_is_nowhere() -> None:
    joints = torch.tensor([[[0.25, -0.75], [torch.nan, torch.nan]]])
    heat = heatmaps(joints, 8)  # 0.25 is in the middle between two cells, -0.75 too
    assert heat[0, 0, 0, 4].item() == pytest.approx(math.exp(-(0.5**2 + 0.5**2) / 2))
    assert not heat[0, 1].any()
    assert heatmaps(torch.tensor([[[cells(8, heat)[2], cells(8, heat)[5]]]]), 8)[0, 0, 5, 2] == 1


def test_places_survive_heatmaps() -> None:
    joints = 1.7 * torch.rand(200, 4, 2) - 0.85
    heat = heatmaps(joints, 12)
    said, height = peaks(heat)
    assert (said - joints).abs().max() < 2 / 12 * 0.25, "within a quarter of a cell"
    assert height.min() > 0.7
    inside = joints.abs().amax(-1) < 0.7
    assert (expected(heat, 0.02) - joints)[inside].abs().max() < 2 / 12 * 0.75


def test_expected_passes_a_gradient() -> None:
    heat = torch.zeros(1, 1, 5, 5, requires_grad=True)
    place = expected(heat)
    place[0, 0, 0].backward()
    assert place.abs().max() < 1e-6 and heat.grad is not None and heat.grad[..., 4].min() > 0 > heat.grad[..., 0].max()


def test_distances_by_a_loop(double: None) -> None:
    a, b, where = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4), torch.rand(3, 2) < 0.5
    want = [sum(float((a[i, k] - b[i, k]).flatten()[c] ** 2) for c in range(16)) / 2 for i in range(3) for k in range(2)]
    torch.testing.assert_close(distance(a, b).flatten(), torch.tensor(want))
    kept = [w for w, yes in zip(want, where.flatten().tolist(), strict=True) if yes]
    assert apart(a, b, where).item() == pytest.approx(sum(kept) / len(kept))
    assert apart(a, b, where & False) == 0


def test_bones_and_what_is_found() -> None:
    joints = torch.tensor([[[0.0, 0.0], [0.0, -0.5], [0.3, -0.1]]])
    torch.testing.assert_close(bones(joints, torch.tensor([0, 1])), torch.tensor([[[0.0, -1.0], [0.6, 0.8]]]))
    away = torch.tensor([[[0.19, 0.0], [0.21, -0.5], [torch.nan, torch.nan]]])
    assert found(joints + torch.tensor([0.0, 0.0]), away + joints * torch.tensor([0.0, 1.0])).tolist() == [[True, False, False]]


def test_keypoint_mix_blends_patches_of_joints_and_nothing_else() -> None:
    """Two joints in a picture dark on the left, bright on the right: each patch goes towards the other side's brightness."""
    x = (torch.arange(16) >= 8).float().expand(64, 1, 16, 16)
    joints = torch.tensor([[-0.5, 0.0], [0.5, 0.0]]).expand(64, 2, 2)
    mixed = keypoint_mix(x, joints, 1.0, 0.15)
    place = cells(16, x)
    inside = ((place - 0.0).abs() <= 0.15)[:, None] & ((place.abs() - 0.5).abs() <= 0.15)[None]
    assert torch.equal(mixed[:, 0][:, ~inside], x[:, 0][:, ~inside])
    left = mixed[:, 0][:, inside & (place < 0)[None]]
    assert (left > 0).all() and (left < 1).all() and torch.allclose(left, left[:, :1].expand_as(left), atol=1e-6)
    assert left[:, 0].std() > 0.2, "each row has a share of its own"
    assert torch.equal(keypoint_mix(x, joints, 0.0, 0.15), x)


def test_keypoint_cut_covers_one_patch_of_the_rows_asked_for() -> None:
    x = torch.arange(256.0).view(1, 1, 16, 16).expand(2, 1, 16, 16)
    cut = keypoint_cut(x, torch.zeros(2, 2), torch.tensor([True, False]), 0.25)
    changed = (cut != x)[:, 0]
    assert not changed[1].any() and changed[0].any()
    rows, columns = changed[0].nonzero().unbind(1)
    assert rows.min() >= 6 and rows.max() <= 9 and columns.min() >= 6 and columns.max() <= 9
