"""Five questions about short phrases."""

import pytest
import torch

from understudy.core.errors import Refused
from understudy.worlds.phrases import KINDS, LONG, WORDS, phrases

GOOD, BAD, NOT, NAME = 0, 8, 16, 24


def label(kind, *words):
    ids = torch.tensor([[*words, *[NAME] * (LONG - len(words))]])
    return KINDS[kind][1](ids).item()


@pytest.mark.parametrize(
    ("kind", "words", "says"),
    [
        ("mood", (GOOD, GOOD, BAD), 1),
        ("mood", (GOOD, BAD), 0),
        ("negation", (NOT, BAD), 1),
        ("negation", (NOT, GOOD), 0),
        ("negation", (GOOD, NOT, NAME), 1),
        ("topic", (GOOD, BAD), 3),
        ("topic", (BAD,) * 7, 1),
        ("order", (GOOD, BAD), 1),
        ("order", (BAD, GOOD), 0),
        ("order", (NAME,), 0),
        ("halves", (GOOD,), 2),
        ("halves", (NAME,) * 6 + (GOOD,), 1),
        ("halves", (GOOD,) + (NAME,) * 5 + (GOOD,), 3),
    ],
)
def test_labels_by_hand(kind, words, says):
    assert label(kind, *words) == says


@pytest.mark.parametrize("kind", KINDS)
def test_every_class_is_there(kind):
    world = phrases(0, kind=kind)
    share = world.data.test.y.bincount(minlength=KINDS[kind][0]) / len(world.data.test.y)
    assert share.min() > 0.1 and share.max() < 0.65
    assert world.data.train.x.shape == (120, LONG, WORDS) and (world.data.train.x.sum(-1) == 1).all()


def test_splits_are_apart():
    world = phrases(0)
    rows = lambda part: {tuple(r) for r in part.x.argmax(-1).tolist()}
    assert rows(world.data.train) <= rows(world.data.pool)
    assert not rows(world.data.pool) & rows(world.data.test) and not rows(world.data.valid) & rows(world.data.test)


def test_another_question_is_refused():
    with pytest.raises(Refused, match="mood"):
        phrases(0, kind="moods")
