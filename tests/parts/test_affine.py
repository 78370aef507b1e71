"""Ways of pictures and points: where things go, and back."""

from __future__ import annotations

import torch

from understudy.parts.affine import after, carried, drawn, inverse, seen
from understudy.parts.joints import heatmaps, peaks


def test_there_and_back(double: None) -> None:
    x, points = torch.zeros(20, 1, 8, 8), 2 * torch.rand(20, 5, 2) - 1
    way = drawn(x, 90.0, 0.3, 0.2)
    torch.testing.assert_close(carried(carried(points, way), inverse(way)), points)
    other = drawn(x, 90.0, 0.3, 0.2)
    torch.testing.assert_close(carried(carried(points, way), other), carried(points, after(other, way)))


def test_by_hand() -> None:
    """A quarter turn, then a move to the right by a tenth of the side."""
    way = torch.tensor([[[0.0, -1.0, 0.2], [1.0, 0.0, 0.0]]])
    torch.testing.assert_close(carried(torch.tensor([[[0.5, 0.25]]]), way), torch.tensor([[[-0.05, 0.5]]]))


def test_pictures_go_where_points_go() -> None:
    points = torch.rand(30, 3, 2) - 0.5
    way = drawn(points, 60.0, 0.2, 0.05)
    there, _ = peaks(seen(heatmaps(points, 32, 1.5), way, "zeros"))
    assert (there - carried(points, way)).abs().max() < 2 * 0.5 / 32 * 2, "within half a cell"


def test_nothing_changes_nothing_and_outside_is_dark_or_the_edge() -> None:
    x = torch.rand(2, 1, 6, 6)
    same = torch.eye(2, 3).expand(2, 2, 3)
    torch.testing.assert_close(seen(x, same), x)
    aside = torch.tensor([[1.0, 0, 2.0], [0, 1, 0]]).expand(2, 2, 3)  # by a whole side
    assert not seen(x, aside, "zeros").any()
    torch.testing.assert_close(seen(x, aside), x[..., :1].expand_as(x))
