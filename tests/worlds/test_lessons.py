"""Lessons: only the present classes are shown, each row once an epoch; all classes so far are asked for."""

import torch
from torch import nn

from understudy.core.world import recast
from understudy.worlds import WORLDS


class Knows(nn.Module):
    """Right about these classes, and says `other` for the rest."""

    def __init__(self, world, classes, other):
        super().__init__()
        self.table = {tuple(x.flatten().tolist()): int(y) for x, y in zip(world.data.valid.x, world.data.valid.y, strict=True)}
        self.classes, self.other = set(classes), other

    def forward(self, x):
        said = [self.table[tuple(r.flatten().tolist())] for r in x]
        return torch.eye(10)[torch.tensor([y if y in self.classes else self.other for y in said])]


def test_rows_of_the_present_lesson_each_once_an_epoch():
    world = WORLDS["lessons"](4)
    seen = []
    for step in range(world.steps):
        batch, phase = world.rows(step), world.phase(step)
        assert torch.isin(batch.y, world.classes(phase)).all() and torch.equal(batch.x, world.data.train.x[batch.row])
        if phase == 2:
            seen += batch.row.tolist()
    pool = torch.isin(world.data.train.y, world.classes(2)).nonzero()[:, 0].tolist()
    assert sorted(seen[: len(pool)]) == pool and sorted(seen[len(pool) : 2 * len(pool)]) == pool
    assert sorted(torch.cat([world.classes(p) for p in range(5)]).tolist()) == list(range(10))
    assert not torch.equal(world.classes(0), WORLDS["lessons"](5).classes(0))


def test_two_processes_share_the_rows_of_one():
    world = WORLDS["lessons"](0)
    halves = [recast(world, batch=16, ranks=2, rank=r).rows(130).row for r in (0, 1)]
    assert torch.equal(torch.cat(halves), world.rows(130).row)


def test_observed_at_the_end_of_each_lesson_over_all_classes_so_far():
    world = recast(WORLDS["lessons"](0), split="valid")
    ends = [s for s in range(world.steps + 1) if world.observe(lambda: Knows(world, range(10), 0), s) is not None]
    assert ends == [world.steps // 5 * k for k in range(1, 6)]
    first, second = world.classes(0).tolist(), world.classes(1).tolist()
    made = lambda: Knows(world, first, first[0])
    assert world.observe(made, ends[0]) == 1.0
    y = world.data.valid.y.tolist()
    right, asked = sum(v in first for v in y), sum(v in first + second for v in y)
    assert world.observe(made, ends[1]) == right / asked
