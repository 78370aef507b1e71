"""Sizes below a network, and an evolution among them."""

import pytest
import torch
from torch import nn

from understudy.core.errors import Refused
from understudy.core.seeds import stream
from understudy.models.tiny import CNN, MLP, ViT
from understudy.parts.search import Sizes, evolve, grades


def test_grades_are_every_number_or_eighths():
    assert grades(1) == (1,) and grades(3) == (1, 2, 3) and grades(32) == (4, 8, 12, 16, 20, 24, 28, 32)
    assert all(b > a for n in range(1, 70) for a, b in zip(grades(n), grades(n)[1:], strict=False))


def test_what_is_read_and_answered_stays_and_every_number_is_at_most_its_own():
    space = Sizes(CNN((1, 8, 8), 10, 16, (1, 3)))
    assert space.largest == (16, 1, 3)
    with stream("draws"):
        drawn = {space.draw() for _ in range(200)}
    assert len(drawn) == 8 * 3 and all(w <= 16 and a == 1 and b <= 3 for w, a, b in drawn)
    made = space.build((4, 1, 2))
    assert made.config == {"shape": (1, 8, 8), "outputs": 10, "width": 4, "stages": (1, 2)}
    assert made(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    assert space.weigh((4, 1, 2)) == sum(p.numel() for p in made.parameters())


def test_a_size_that_its_kind_refuses_has_no_weight_and_is_never_handed_out():
    space = Sizes(ViT((1, 8, 8), 10, 8, 1, 4))  # 4 heads don't divide a width of 6
    assert space.weigh((6, 1, 4)) is None and space.weigh((8, 1, 4))
    with stream("within"):
        assert all((weight := space.weigh(space.within(900))) and weight <= 900 for _ in range(50))


def test_the_smallest_is_found_and_less_is_refused():
    space = Sizes(MLP((4,), 2, 8, 3))
    least = space.weigh((1, 1))
    with stream("least"):
        assert space.within(least) == (1, 1)
        with pytest.raises(Refused, match="limit"):
            space.within(least - 1)


def test_one_change_changes_one_number():
    space = Sizes(CNN((1, 8, 8), 10, 16, (1, 3)))
    with stream("change"):
        for _ in range(50):
            assert sum(a != b for a, b in zip(space.change((8, 1, 2)), (8, 1, 2), strict=True)) == 1
    alone = Sizes(MLP((4,), 2, 1, 1))
    assert alone.change((1, 1)) == (1, 1) and alone.lessen((1, 1)) is None


def test_networks_without_numbers_are_refused():
    with pytest.raises(Refused, match="student='Linear'"):
        Sizes(nn.Linear(2, 2))


def test_evolution_finds_the_hill_and_asks_once():
    asked = []

    def worth(x):
        asked.append(x)
        return None if x == 13 else -abs(x - 40.0)

    with stream("hill"):
        best, lived = evolve(
            lambda: int(torch.randint(10, ())), lambda x: x + (1 if torch.rand(()) < 0.6 else -1), worth, 5, 400, 3
        )
    assert len(asked) == len(set(asked)) and 13 not in lived
    assert best == max(lived, key=lived.get)
    with stream("hill"):
        assert evolve(lambda: 7, lambda x: x + 1, worth, 1, 0, 1) == (7, {7: -33.0})


def test_evolution_climbs():
    with stream("climb"):
        best, _ = evolve(lambda: 0, lambda x: x + (1 if torch.rand(()) < 0.5 else -1), lambda x: -abs(x - 12.0), 5, 600, 4)
    assert best == 12


def test_nobody_lives():
    with pytest.raises(Refused, match="population"):
        evolve(lambda: 1, lambda x: x, lambda _: None, 3, 3, 1)
