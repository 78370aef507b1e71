"""Soft Teacher: whose background counts, and whose place is learned."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from understudy.core.batch import Batch
from understudy.core.run import Run
from understudy.methods import soft_teacher
from understudy.parts.boxes import carried, encode, jittered, spread
from understudy.worlds.scenes import scenes

GRID = torch.tensor([[0, 0, 8, 8], [4, 0, 12, 8], [20, 20, 30, 30], [30, 4, 40, 14.0]], dtype=torch.double)


class Says(torch.nn.Module):
    """A detector of two classes that answers as given, wherever it is asked."""

    def __init__(self, logits):
        super().__init__()
        self.logits, self.asked = logits, []

    def forward(self, x, rois=None):
        self.asked.append(rois)
        rois = GRID.expand(len(x), -1, -1) if rois is None else rois
        logits = self.logits.expand(len(x), -1, -1)
        return {"logits": logits, "offsets": torch.zeros(*logits.shape[:2], 4, dtype=logits.dtype), "rois": rois}


def learned(method, student, teacher, **found):
    way = torch.tensor([[-1.0, 1.0, 48.0, 0.0]], dtype=torch.double)  # the strong view is the weak one's mirror image
    x = torch.zeros(1, 1, 48, 48, dtype=torch.double)
    nets = torch.nn.ModuleDict({"student": Says(student), "teacher": Says(teacher)})
    hidden = {"boxes": torch.full((1, 1, 4), torch.nan), "labels": torch.full((1, 1), -1)}
    batch = Batch(x=x, y=hidden, strong=x, weak=x, way=way, **{k: torch.tensor(v)[None] for k, v in found.items()})
    return method.loss(Run(method, scenes(0, small=True), 0, nets, {}, {}), batch), nets


def test_background_counts_as_far_as_the_teacher_believes_in_it():
    torch.manual_seed(0)
    student, teacher = (torch.randn(1, 4, 3, dtype=torch.double) for _ in range(2))
    found = {"boxes": [[0.0, 0, 8, 8]], "labels": [1], "scores": [0.95], "spread": [0.5]}
    got, nets = learned(soft_teacher(alpha=2.0), student, teacher, **found)
    r = teacher.softmax(-1)[0, 1:, -1]  # candidate 0 is the object's
    wrong = -student.log_softmax(-1)[0]
    assert got["classes"].item() == pytest.approx(2 * ((wrong[0, 1] + (r * wrong[1:, -1]).sum()) / (1 + r.sum())).item())
    assert got["hard"] == 0 and got["places"] == 0, "no labels, and no place that the teacher is sure of"
    torch.testing.assert_close(nets["teacher"].asked[0][0, 1], torch.tensor([36.0, 0, 44, 8], dtype=torch.double))
    even, _ = learned(soft_teacher(alpha=2.0, background="even"), student, teacher, **found)
    assert even["classes"].item() == pytest.approx(2 * (wrong[0, 1] + wrong[1:, -1].sum()).item() / 4)


def test_a_place_is_learned_where_it_is_steady_whatever_the_score():
    logits = torch.zeros(1, 4, 3, dtype=torch.double)
    found = {"boxes": [[1.0, 0, 9, 8]], "labels": [0], "scores": [0.6], "spread": [0.01]}
    target = encode(torch.tensor(found["boxes"][0]).double(), GRID[:1])  # the other candidate near it overlaps it by 5/11
    want = F.smooth_l1_loss(torch.zeros_like(target), target, beta=1 / 9, reduction="none").sum(-1).mean()
    assert learned(soft_teacher(), logits, logits, **found)[0]["places"].item() == pytest.approx(4 * want.item())
    assert learned(soft_teacher(places="sure"), logits, logits, **found)[0]["places"] == 0


def test_spread_by_hand_and_of_jitter():
    """Sides 0 and 2, 0 and 0, 10 and 12, 10 and 10: deviations sqrt 2, 0, sqrt 2, 0; mean width and height 10."""
    two = torch.tensor([[[[0.0, 0, 10, 10]], [[2.0, 0, 12, 10]]]])
    assert spread(two).item() == pytest.approx(2**0.5 / 2 / 10)
    torch.manual_seed(0)
    around = jittered(torch.tensor([[[0.0, 0, 10, 20]]]), 4000, 0.06)
    assert around[..., 0].abs().max() <= 0.6 and around[..., 3].max() <= 21.2
    assert spread(around).item() == pytest.approx(
        0.06 / 3**0.5, rel=0.02
    )  # of an even distribution, and (10 + 20) / 2 on average


def test_boxes_are_carried_as_by_the_authors():
    want = torch.tensor(json.loads((Path(__file__).parent / "copies_and_boxes.json").read_text())["boxes"], dtype=torch.double)
    drawn = torch.rand(5, 4, generator=torch.Generator().manual_seed(7), dtype=torch.double) * 20
    boxes = torch.cat([drawn[:, :2], drawn[:, :2] + drawn[:, 2:] + 1], 1)
    view = torch.tensor([[-0.8, 1.2, 40.0, -3.0]], dtype=torch.double)
    torch.testing.assert_close(carried(boxes[None], view)[0].clamp(0, 44), want)
