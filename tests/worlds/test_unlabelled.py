"""Sentences without labels."""

from __future__ import annotations

from understudy.worlds.unlabelled import unlabelled


def test_nobody_sees_a_label_but_the_teacher() -> None:
    world = unlabelled(0)
    assert world.size == 3000 and (world.data.train.y == -1).all() and (world.rows(2).y == -1).all()
    assert len(world.data.few.y) == 60 and (world.data.few.y >= 0).all() and (world.data.valid.y >= 0).all()
