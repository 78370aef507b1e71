"""Dual polishing: mistakes with their truth, and what is made of a teacher's objects."""

import pytest
import torch
import torch.nn.functional as F

from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.methods import dual_pseudo_label_polishing
from understudy.parts.boxes import decode, encode, iou
from understudy.worlds.scenes import CLASSES, scenes


def begun(**how):
    run = start(dual_pseudo_label_polishing(**how), scenes(0, small=True), 0, device="cpu")
    with stream(0), torch.no_grad():
        return run, run.method.source(run)


def test_what_polishers_learn_by_a_loop(double):
    run, batch = begun(times=2)
    got = run.method.loss(run, batch)["polishers"]
    logits, moves = run["polishers"](batch.own, batch.around, batch.said)
    wrong, off, objects, near = 0.0, 0.0, 0, 0
    for i in range(len(batch.x)):
        for j in range(8):  # two mistakes about each of four places
            y, b, made = batch.y["labels"][i, j % 4], batch.wanted[i, j], batch.asked[i, 8 + j]
            if not 0 <= y < CLASSES:
                continue
            objects += 1
            close = iou(made[None], b[None])[0, 0] >= 0.5
            wrong -= logits[i, 8 + j].log_softmax(0)[y if close else CLASSES].item()
            if close:
                near += 1
                off += F.smooth_l1_loss(moves[i, 8 + j], encode(b, made), reduction="sum", beta=1 / 9).item()
    assert got["category"].item() == pytest.approx(wrong / objects) and got["box"].item() == pytest.approx(off / near)


def test_classes_and_places_have_their_own_objects(double):
    run, batch = begun(steady=0.9)
    logits = torch.zeros(8, 8, 6)
    logits[..., 2], logits[..., 5] = torch.linspace(0.1, 5, 8), 1.0
    moves = torch.zeros(8, 8, 4)
    moves[:, ::2, 0] = 0.5  # half a width aside: an overlap of a third
    labels, scores, boxes, steady = run.method.polished(batch, logits, moves)
    assert torch.equal(boxes, decode(moves, batch.boxes)) and torch.equal(scores, logits.softmax(-1)[..., :5].amax(-1))
    assert (labels == 2).all()
    assert torch.equal(steady, (logits.softmax(-1)[..., 5] < 0.5) & (torch.arange(8) % 2 == 1))
    bare = dual_pseudo_label_polishing(polish="none").polished(batch, logits, moves)
    assert torch.equal(bare[0], batch.labels) and torch.equal(bare[2], batch.boxes) and torch.equal(bare[3], batch.scores > 0.9)


def test_no_mistake_teaches_no_move(double):
    _, batch = begun(jitter=0.0)
    here = batch.there
    torch.testing.assert_close(batch.asked[:, 8:][here], batch.wanted[here])
    assert (batch.truth[here] < CLASSES).all() and here.any()
