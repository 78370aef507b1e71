"""Boxes of one view as labels in another."""

import pytest
import torch

from understudy.parts.boxes import carried, encode, inverse
from understudy.parts.pseudo_boxes import learned, mistaken, picked, told, two_views
from understudy.tasks import task


def test_what_is_bright_in_one_view_is_where_its_box_went_in_the_other():
    torch.manual_seed(0)
    x = torch.zeros(32, 1, 40, 48)
    x[..., 12:24, 20:30] = 4.0
    views = two_views(x)
    here = carried(torch.tensor([[20.0, 12, 30, 24]]).expand(32, 1, 4), inverse(views["way"]))  # any box will do: there and back
    torch.testing.assert_close(carried(here, views["way"]), torch.tensor([20.0, 12, 30, 24]).expand(32, 1, 4), atol=1e-4, rtol=0)
    bright = lambda view: torch.stack([((view[:, 0] > 2) * axis).sum((1, 2)) / (view[:, 0] > 2).sum((1, 2)) for axis in
                                       (torch.arange(48.0) + 0.5, torch.arange(40.0)[:, None] + 0.5)], 1)  # fmt: skip
    point = bright(views["weak"])
    there = carried(torch.cat([point, point], 1)[:, None], views["way"])[:, 0, :2]
    assert (there - bright(views["strong"])).abs().median() < 0.7


def test_a_box_ends_where_the_view_ends():
    way = torch.tensor([[2.0, 2.0, 10.0, -6.0]])
    got = told(torch.tensor([[[0.0, 0, 10, 10], [20, 20, 30, 30]]]), way, torch.zeros(1, 1, 32, 48))
    assert got.tolist() == [[[10, 0, 30, 14], [48, 32, 48, 32]]]


def test_kept_objects_are_learned_like_true_ones_and_others_are_not():
    torch.manual_seed(0)
    rois = torch.tensor([[0, 0, 8, 8], [20, 20, 30, 30], [30, 4, 40, 14.0], [4, 0, 12, 8]]).expand(2, -1, -1)
    out = {"logits": torch.randn(2, 4, 4), "offsets": torch.randn(2, 4, 4), "rois": rois}
    boxes, labels = torch.tensor([[[1.0, 0, 9, 8], [20, 21, 30, 30]]]).expand(2, -1, -1), torch.tensor([[2, 0], [1, 1]])
    kept = torch.tensor([[True, False], [False, False]])
    classes, places = learned(out, boxes, labels, kept)
    true = {"boxes": boxes, "labels": labels.where(kept, 3)}
    assert (classes + places).mean().item() == pytest.approx(task("detect").hard(out, true).item(), rel=1e-5)
    assert places[1] == 0 and classes[1].item() == pytest.approx(-out["logits"][1].log_softmax(-1)[:, 3].mean().item(), rel=1e-5)
    exact = {**out, "offsets": encode(boxes[:, :1].expand(-1, 4, -1), rois)}
    assert learned(exact, boxes, labels, kept)[1][0] == 0


def test_picked_are_those_of_their_own_picture():
    x = torch.arange(24.0).view(2, 4, 3)
    got = picked(x, torch.tensor([[3, 0], [1, 1]]))
    assert torch.equal(got, torch.stack([x[0, [3, 0]], x[1, [1, 1]]]))


def test_mistakes_are_as_often_as_asked():
    torch.manual_seed(0)
    p = mistaken(torch.full((20_000,), 3), 5, 0.5, sure=50.0)
    assert p.shape == (20_000, 6) and (p.argmax(-1) == 3).float().mean().item() == pytest.approx(0.6, abs=0.02)  # 0.5 + 0.5 / 5
