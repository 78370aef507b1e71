"""Boxes against brute force and by hand."""

import pytest
import torch

from understudy.parts.boxes import after, assign, carried, decode, encode, found, grown, inverse, iou, pooled, thinned
from understudy.parts.views import drawn, erased, seen, strong


def some(n, seed=0, side=20.0):
    low = torch.rand(n, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.double) * side
    return torch.cat(
        [low, low + 1 + torch.rand(n, 2, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.double) * side], 1
    )


def test_overlap_is_that_of_counted_pixels():
    a, b = some(6).round(), some(7, 5).round()

    def pixels(box):
        x0, y0, x1, y1 = box.int().tolist()
        return {(x, y) for x in range(x0, x1) for y in range(y0, y1)}

    want = [[len(pixels(p) & pixels(q)) / len(pixels(p) | pixels(q)) for q in b] for p in a]
    torch.testing.assert_close(iou(a, b), torch.tensor(want, dtype=torch.double))
    assert iou(torch.zeros(1, 4), torch.zeros(1, 4)) == 0


def test_what_is_encoded_is_decoded():
    a, b = some(9), some(9, 3)
    torch.testing.assert_close(decode(encode(a, b), b), a)
    assert decode(torch.full((1, 4), 1e4), torch.tensor([[0.0, 0, 1, 1]])).isfinite().all()


def test_candidates_stand_for_what_they_overlap_and_no_object_is_forgotten():
    rois = torch.tensor([[[0.0, 0, 10, 10], [1.0, 0, 11, 10], [30, 30, 40, 40], [60, 60, 70, 70]]])
    boxes = torch.tensor([[[0.0, 0, 10, 10], [36, 36, 46, 46], [60, 60, 70, 70]]])
    labels, places = assign(rois, boxes, torch.tensor([[2, 0, 3]]), none=3)
    assert labels.tolist() == [[2, 2, 0, 3]]  # the second object is hardly overlapped, and the third is none
    assert places[0, 2].tolist() == [36, 36, 46, 46]
    nothing = assign(rois, torch.full((1, 3, 4), torch.nan), torch.full((1, 3), -1), none=3)
    assert nothing[0].tolist() == [[3] * 4] and nothing[1].isfinite().all()


def test_thinning_is_the_greedy_loop():
    boxes, scores = some(30, 2), torch.rand(30, generator=torch.Generator().manual_seed(4))
    left, kept = scores.argsort(descending=True).tolist(), []
    while left and len(kept) < 8:
        kept.append(left.pop(0))
        left = [i for i in left if iou(boxes[kept[-1:]], boxes[[i]]) <= 0.3]
    index, found_scores = thinned(boxes[None], scores[None], 8, 0.3)
    many = int((found_scores > 0).sum())
    assert index[0, :many].tolist() == kept[:many] and many == len(kept)


def test_an_answer_has_no_duplicates():
    rois = torch.tensor([[[0.0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30]]])
    logits = torch.tensor([[[3.0, 0, 0], [0, 4, 0], [0, 0, 1]]])
    said = found({"logits": logits, "offsets": torch.zeros(1, 3, 4), "rois": rois}, 3)
    assert said["labels"].tolist() == [[1, 0, 2]] and said["scores"][0, 2] == 0  # the surest; the far one; no more
    assert said["boxes"][0, 0].tolist() == [1, 0, 11, 10]


def test_views_go_there_and_back_and_meet_their_pixels():
    torch.manual_seed(0)
    x = torch.zeros(4, 1, 32, 32, dtype=torch.double)
    x[:, :, 10:18, 12:20] = 1
    boxes = torch.tensor([12.0, 10, 20, 18], dtype=torch.double).expand(4, 1, 4)
    view = drawn(x, 0.25, 0.1, mirror=0.5)
    there = carried(boxes, view)
    for picture, box in zip(seen(x, view)[:, 0] > 0.5, there[:, 0], strict=True):
        rows, columns = (picture.any(d).nonzero()[:, 0] for d in (1, 0))
        edges = torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        assert (edges - box).abs().max() <= 1
    torch.testing.assert_close(carried(there, inverse(view)), boxes)
    other = drawn(x, 0.2, 0.1)
    torch.testing.assert_close(carried(there, other), carried(boxes, after(other, view)))
    torch.testing.assert_close(seen(x, torch.tensor([[1.0, 1, 0, 0]], dtype=torch.double).expand(4, 4)), x)
    assert strong(x)[0].shape == x.shape and (erased(x, 0, 0.5) == x).all()


def test_features_are_read_where_the_box_is():
    """A map whose value is its column: the bins of a box read the columns of their centres."""
    features = torch.arange(8.0).expand(1, 1, 8, 8)
    read = pooled(features, torch.tensor([[[8.0, 8.0, 24.0, 24.0]]]), stride=4, bins=2)
    assert read[0, 0].tolist() == pytest.approx(
        [2.5, 4.5, 2.5, 4.5]
    )  # pixels 12 and 20 in cells of 4, whose centres are at 2, 6 ...


def test_a_grown_box_keeps_its_middle():
    assert grown(torch.tensor([4.0, 10, 8, 20]), 0.5).tolist() == [3, 7.5, 9, 22.5]
