"""Boxes of one view as labels in another."""

import pytest
import torch
import torch.nn.functional as F

from understudy.parts.boxes import carried, decode, encode, found, inverse
from understudy.parts.pseudo_boxes import learned, mistaken, others, picked, read_twice, told, two_views, weighted
from understudy.tasks import task
from understudy.worlds.scenes import Detector


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


def test_an_object_counts_with_its_weight(double):
    rois = torch.tensor([[[0.0, 0, 0.2, 0.2], [0.5, 0.5, 0.7, 0.7], [0.8, 0, 0.9, 0.1]]])
    torch.manual_seed(0)
    out = {"logits": torch.randn(1, 3, 4), "offsets": torch.zeros(1, 3, 4), "rois": rois}
    boxes, labels, w = rois[:, :2] + 0.01, torch.tensor([[2, 0]]), torch.tensor([[1.0, 0.25]])
    classes, places = weighted(out, boxes, labels, w, 3.0)
    wrong = -out["logits"].log_softmax(-1)[0]
    share = torch.tensor([0.5, 0.5 * 0.25, 3.0])
    torch.testing.assert_close(classes[0], share @ torch.stack([wrong[0, 2], wrong[1, 0], wrong[2, 3]]) / share.sum())
    apart = F.smooth_l1_loss(encode(boxes, rois[:, :2]), torch.zeros(1, 2, 4), reduction="none", beta=1 / 9).sum(-1)[0]
    torch.testing.assert_close(places[0], (apart[0] + 0.25 * apart[1]) / 1.25)
    lone, _ = weighted(out, boxes, labels, torch.tensor([[1.0, 0.0]]))
    assert lone != classes, "an object without weight is background"


def test_found_boxes_are_read_again(double):
    net = Detector(4, 16, bins=2)
    x = torch.randn(2, 1, 48, 48)
    object, out = read_twice(net, x, 5)
    first = found(out, 5)
    assert torch.equal(out["logits"], net(x)["logits"]) and torch.equal(object["first"], first["scores"])
    second = net(x, first["boxes"])
    torch.testing.assert_close(object["boxes"], decode(second["offsets"], first["boxes"]))
    p, labels = second["logits"].softmax(-1)[..., :-1].max(-1)
    assert torch.equal(object["labels"], labels) and torch.equal(object["again"], p)


def test_what_may_be_another_object():
    rois = torch.tensor([[[0.0, 0, 8, 8], [4, 4, 12, 12], [20, 20, 30, 30], [40, 40, 44, 44]]])
    out = {
        "logits": torch.tensor([[[4.0, 0, 0], [4, 0, 0], [0, 0, 0], [0, 0, 9]]]),
        "offsets": torch.zeros(1, 4, 4),
        "rois": rois,
    }
    boxes = torch.tensor([[[0.0, 0, 5, 5], [20, 20, 30, 30]]])
    at, which = others(out, boxes, torch.tensor([[True, False]]), 0.1)
    assert torch.equal(at, rois) and which.tolist() == [[False, False, True, False]]
    assert others(out, boxes, torch.tensor([[False, False]]), 0.4)[1].tolist() == [[True, True, False, False]]


def test_picked_are_those_of_their_own_picture():
    x = torch.arange(24.0).view(2, 4, 3)
    got = picked(x, torch.tensor([[3, 0], [1, 1]]))
    assert torch.equal(got, torch.stack([x[0, [3, 0]], x[1, [1, 1]]]))


def test_mistakes_are_as_often_as_asked():
    torch.manual_seed(0)
    p = mistaken(torch.full((20_000,), 3), 5, 0.5, sure=50.0)
    assert p.shape == (20_000, 6) and (p.argmax(-1) == 3).float().mean().item() == pytest.approx(0.6, abs=0.02)  # 0.5 + 0.5 / 5
