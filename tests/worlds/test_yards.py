"""Scans: points lie on what the sensor can see, boxes are around whole outlines."""

import pytest
import torch

from understudy.core.errors import Sealed
from understudy.core.seeds import stream
from understudy.worlds.yards import CLASSES, OBJECTS, drawn_up, scanned, yards


def test_who_stands_behind_isnt_seen():
    angle = torch.arange(16) / 16 * 2 * torch.pi
    disc = 0.08 * torch.stack([angle.cos(), angle.sin()], -1)
    near, far = torch.tensor([0.5, 0.7]), torch.tensor([0.5, 0.4])
    nothing = [torch.zeros(16, 2)] * (OBJECTS - 2)
    outlines = torch.stack([disc + near, disc / 2 + far, *nothing])[None]
    kind = torch.tensor([[1, 2] + [-1] * (OBJECTS - 2)])
    with stream(0):
        points, boxes, labels = scanned(outlines, kind)
    assert labels[0].tolist() == [1] + [CLASSES] * (OBJECTS - 1), "the second is in the first one's shadow"
    torch.testing.assert_close(boxes[0, 0], torch.tensor([0.42, 0.62, 0.58, 0.78]))
    seen = points[0][points[0, :, 2] > 0]
    on = ((seen[:, :2] - near).norm(dim=1) - 0.08).abs() < 0.02
    assert on.sum() > 5 and (seen[on, 1] > 0.69).all(), "only the side towards the sensor"
    alone = kind.clone()
    alone[0, 0] = -1
    with stream(0):
        assert scanned(outlines, alone)[2][0, 1] == 2


def test_nothing_stands_on_anything():
    with stream(0):
        outlines, kind = drawn_up(20)
    low, high = outlines.amin(2), outlines.amax(2)
    assert (low >= -1e-6).all() and (high <= 1 + 1e-6).all()
    over = ((low[:, None] < high[:, :, None]) & (low[:, :, None] < high[:, None])).all(-1)
    both = (kind >= 0)[:, None] & (kind >= 0)[:, :, None]
    assert ((over & both).sum((1, 2)) == (kind >= 0).sum(1)).all()


def test_rows_are_labelled_first_and_the_test_is_sealed():
    world = yards(0, small=True)
    batch = world.rows(3)
    known = (batch.y["labels"] >= 0).all(1)
    assert known.tolist() == [True] * 2 + [False] * 6 and batch.y["boxes"][~known].isnan().all()
    assert (batch.y["boxes"][known] >= 0).all() and (batch.y["boxes"][known] <= 1).all()
    with pytest.raises(Sealed):
        world.score(world.student())
