"""Phrases about digits in pictures."""

import torch

from understudy.core.seeds import stream
from understudy.worlds.digits import splits
from understudy.worlds.grounding import KNOWN, TRAIN, WORDS, composed, grounding


def test_a_phrase_is_true_of_one_digit_alone():
    with stream("phrases"):
        _, words, boxes, labels, which = composed(splits(torch.get_default_dtype()).valid, 60)
    holds = {
        "the": lambda a, b: False,
        "left": lambda a, b: a[0] + a[2] < b[0] + b[2],
        "right": lambda a, b: a[0] + a[2] > b[0] + b[2],
        "upper": lambda a, b: a[1] + a[3] < b[1] + b[3],
        "lower": lambda a, b: a[1] + a[3] > b[1] + b[3],
    }
    seen = set()
    for i in range(60):
        place, name = (WORDS[w] for w in words[i])
        seen.add(place)
        called = [k for k in range(3) if str(labels[i, k].item()) == name]
        fits = [k for k in called if all(holds[place](boxes[i, k], boxes[i, j]) for j in called if j != k)]
        assert fits == [int(which[i])]
    assert seen == set(holds)


def test_one_phrase_in_twenty_has_a_box_and_a_batch_begins_with_those():
    world = grounding(0)
    y = torch.cat([part.y for part in world.sweep()])
    assert len(y) == TRAIN and y.isfinite().all(-1).tolist() == [True] * KNOWN + [False] * (TRAIN - KNOWN)
    batch = world.rows(3)
    assert batch.y.isfinite().all(-1).tolist() == [True] * 12 + [False] * 12
    assert len(batch.x["picture"]) == len(batch.x["words"]) == 24


def test_the_true_boxes_score_one_and_boxes_elsewhere_nothing():
    world = grounding(0, small=True)
    said = lambda box: type("Says", (torch.nn.Module,), {"forward": lambda self, x: {"box": box}})()
    assert world.validate(said(world.data.valid.y)) == 1 and world.validate(said(world.data.valid.y + 24)) == 0
