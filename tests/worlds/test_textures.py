"""The product and its faults, textures, and digits from files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from understudy.core.errors import Refused, Sealed
from understudy.worlds import WORLDS
from understudy.worlds.textures import MISSING, product, textures_of
from worlds.test_mixture import mnist


def test_training_rows_are_normal_and_bring_others_along() -> None:
    world = WORLDS["textures"](0, small=True)
    batch = world.rows(0)
    assert batch.x.shape == batch.other.shape == (8, 1, 32, 32)
    assert not batch.y.any() and not world.rows(2, "valid").y.any()
    assert torch.equal(batch.other, world.rows(0).other) and not torch.equal(batch.other, world.rows(1).other)
    assert world.data.judged.y.tolist() == [0] * 4 + [1] * 8
    with pytest.raises(Sealed):
        world.score(world.student())


def test_a_missing_part_is_missing() -> None:
    torch.manual_seed(0)
    bright = lambda wrong: (product(torch.full((40,), wrong)) > 0.65).sum((1, 2, 3)).double().mean().item()
    assert bright(0) > 1.5 * bright(MISSING)
    assert textures_of(torch.arange(12)).shape == (12, 1, 32, 32)


def test_what_a_teacher_says_of_a_place_hangs_on_its_patch() -> None:
    world = WORLDS["textures"](0)
    x = torch.randn(1, 1, 32, 32, requires_grad=True)
    world.teacher()(x)[0, :, 4, 4].abs().sum().backward()
    assert x.grad is not None
    rows, columns = x.grad[0, 0].nonzero().amax(0) - x.grad[0, 0].nonzero().amin(0) + 1
    assert rows <= 15 and columns <= 15


def test_one_digit_is_normal(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="digit"):
        WORLDS["textures"](0, path=mnist(tmp_path), digit=12)
