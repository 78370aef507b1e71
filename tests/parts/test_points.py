"""Points of flat scenes: where they go, which go away, what a grid makes of them."""

import torch

from understudy.parts.boxes import carried
from understudy.parts.points import inside, moved, orders, put_back, rasterised, shuffled, thinned_out, turned, without


def scattered(n=3, count=40):
    torch.manual_seed(0)
    return torch.cat([torch.rand(n, count, 2), torch.ones(n, count, 1)], -1)


def test_points_and_boxes_go_the_same_way(double):
    points, boxes = scattered(), torch.tensor([[0.2, 0.1, 0.6, 0.5]]).expand(3, 1, 4)
    seen, view = turned(points)
    assert (view[:, 0] < 0).any() and (view[:, 1] > 0).all(), "mirrored left to right only"
    all_boxes = torch.ones(3, 1, dtype=torch.bool)
    assert torch.equal(inside(seen, carried(boxes, view), all_boxes), inside(points, boxes, all_boxes))
    torch.testing.assert_close(moved(points, view), seen)


def test_who_is_in_a_box_by_a_loop():
    points, boxes = scattered(1, 200)[0], torch.tensor([[0.0, 0.0, 0.3, 0.9], [0.5, 0.5, 0.6, 0.7]])
    for which in ([True, True], [False, True]):
        got = inside(points[None], boxes[None], torch.tensor([which]))[0]
        want = [
            any(a <= x <= c and b <= y <= d for (a, b, c, d), w in zip(boxes.tolist(), which) if w) for x, y, _ in points.tolist()
        ]
        assert got.tolist() == want and any(want) and not all(want)


def test_features_of_a_shuffled_scene_come_back_to_their_place(double):
    points, order = scattered(4), orders(torch.tensor([True, True, True, False]))
    there, mixed = rasterised(points, 8), rasterised(shuffled(points, order), 8)
    assert not torch.equal(there, mixed)
    torch.testing.assert_close(put_back(mixed, order), there)
    torch.testing.assert_close(mixed[3], there[3])
    one = shuffled(torch.tensor([[[0.1, 0.2, 1.0]]]), torch.tensor([[3, 0, 1, 2]]))
    torch.testing.assert_close(one, torch.tensor([[[0.6, 0.7, 1.0]]]))
    assert shuffled(torch.tensor([[[1.1, 0.2, 1.0]]]), order[:1])[0, 0, 2] == 0, "what was outside doesn't come in"


def test_a_grid_counts_what_is_there():
    points = torch.tensor(
        [[[0.1, 0.1, 1.0], [0.2, 0.1, 1.0], [0.6, 0.9, 1.0], [0.6, 0.9, 0.0], [1.2, 0.1, 1.0], [-0.1, 0.1, 1.0]]]
    )
    grid = rasterised(points, 2)[0]
    torch.testing.assert_close(grid[0], torch.tensor([[2.0, 0.0], [0.0, 1.0]]).log1p())
    torch.testing.assert_close(grid[1:, 0, 0], torch.tensor([-0.2, -0.3]))
    torch.testing.assert_close(grid[1:, 1, 1], torch.tensor([-0.3, 0.3]))
    gone = without(points, torch.tensor([[True, True, True, False, False, False]]))
    assert not rasterised(gone, 2).any()
    assert 0.4 < thinned_out(scattered(1, 2000), 0.5)[..., 2].mean() < 0.6
