"""Clouds of points in part and otherwise."""

from __future__ import annotations

import torch

from understudy.parts.sightings import near, shaken


def test_a_part_is_the_nearest_points_of_one_of_them() -> None:
    x = torch.rand(50, 20, 3, dtype=torch.double)
    part = near(x, 0.3, 0.3, 200)  # 6 of 20 points, each drawn at some time
    for cloud, some in zip(x, part, strict=True):
        kept = {tuple(p.tolist()) for p in some}
        balls = [{tuple(p.tolist()) for p in cloud[(cloud - m).square().sum(1).argsort()[:6]]} for m in cloud]
        assert kept in balls
    assert near(x, 0.0, 0.0, 4).shape == (50, 4, 3) and near(x[:, :1], 0.5, 1.0, 7).shape == (50, 7, 3)


def test_turning_keeps_distances_and_the_third_axis() -> None:
    x = torch.randn(6, 9, 3, dtype=torch.double)
    seen = shaken(x, 180.0, 0.0, 0.0)
    torch.testing.assert_close(torch.cdist(seen, seen), torch.cdist(x, x))
    torch.testing.assert_close(seen[..., 2], x[..., 2])
    assert not torch.allclose(seen, x)
    torch.testing.assert_close(shaken(x, 0.0, 0.0, 0.0), x)
    ratio = shaken(x, 0.0, 0.2, 0.0) / x
    assert (ratio > 0.799).all() and (ratio < 1.201).all() and torch.allclose(ratio, ratio[:, :1].expand_as(ratio))
