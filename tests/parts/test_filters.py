"""Filters keep what their equations keep, counted out or by brute force."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.parts.filters import Curriculum, SelfAdaptive, agreed, margin, overlapping, same_shape, sure, top_share, zones

P = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.5, 0.3, 0.2], [0.3, 0.6, 0.1], [0.9, 0.05, 0.05]])


def test_one_threshold_or_one_for_each_class() -> None:
    assert sure(P, 0.7).tolist() == [True, True, False, False, True], "what reaches the threshold is kept"
    assert sure(P, torch.tensor([0.9, 0.6, 0.0])).tolist() == [False, True, False, True, True]
    assert sure(P, 0.0).all() and not sure(P, 1.0).any() and sure(P[:0], 0.5).shape == (0,)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 30), st.integers(1, 4), st.integers(0, 10), st.integers(0, 99))
def test_the_surest_share_of_each_class(n: int, classes: int, tenths: int, seed: int) -> None:
    p = (4 * torch.rand(n, classes, generator=torch.Generator().manual_seed(seed))).round().softmax(-1)  # many are equally sure
    top, k = p.max(-1)
    want = [False] * n
    for c in range(classes):
        rows = sorted((i for i in range(n) if k[i] == c), key=lambda i: (-top[i].item(), i))
        for i in rows[: math.ceil(tenths * len(rows) / 10)]:
            want[i] = True
    assert top_share(p, tenths / 10).tolist() == want


def test_between_two_thresholds_nothing_is_said() -> None:
    assert zones(torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9]), 0.3, 0.7).tolist() == [0, -1, -1, 1, 1]
    assert zones(torch.tensor([0.4, 0.5]), 0.5, 0.5).tolist() == [0, 1]


def test_ahead_of_the_second() -> None:
    assert margin(P, 0.25).tolist() == [True, True, False, True, True] and margin(torch.ones(2, 1), 1.0).all()


def test_what_most_of_them_say() -> None:
    said = torch.tensor([[0, 1, 2, -1, -1], [0, 2, 2, -1, 4], [1, 3, 2, -1, -1]])
    for least, want in ((1, [1, 1, 1, 0, 1]), (2, [1, 0, 1, 0, 0]), (3, [0, 0, 1, 0, 0])):
        kept, label = agreed(said, least)
        assert kept.int().tolist() == want and label.tolist() == [0, 1, 2, -1, 4]
    assert agreed(said[:, :0], 1)[1].shape == (0,)


def test_in_the_same_place() -> None:
    a, b = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2], [0, 0, 0, 0]]), torch.tensor([[0.0, 0, 2, 2], [1, 0, 3, 2], [0, 0, 1, 1]])
    assert overlapping(a, b, 1 / 3).tolist() == [True, True, False] and overlapping(a, b, 0.34).tolist() == [True, False, False]
    one, other = (
        torch.tensor([[[1, 1], [0, 0]], [[0, 0], [0, 0]]]).bool(),
        torch.tensor([[[1, 0], [0, 0]], [[0, 0], [0, 0]]]).bool(),
    )
    assert same_shape(one, other, 0.5).tolist() == [True, True] and same_shape(one, other, 0.51).tolist() == [False, True]


def test_thresholds_that_rise_with_confidence() -> None:
    """FreeMatch's equations 5 to 8, twice, by hand."""
    mine = SelfAdaptive(3, m=0.5)
    torch.testing.assert_close(mine.thresholds(), torch.full((3,), 1 / 3))
    tau, q = torch.tensor(1 / 3), torch.full((3,), 1 / 3)
    for p in (P[:2], P[2:]):
        mine.add(p)
        tau, q = 0.5 * tau + 0.5 * p.amax(1).mean(), 0.5 * q + 0.5 * p.mean(0)
    torch.testing.assert_close(mine.thresholds(), tau * q / q.max())
    before = mine.thresholds()
    mine.add(P[:0])
    assert torch.equal(before, mine.thresholds())


def test_thresholds_of_a_curriculum() -> None:
    """Ten rows, two classes: until most have been told, those without a class count; a row that is no longer sure keeps its class."""
    mine = Curriculum(10, 2, tau=0.8)
    assert mine.thresholds().tolist() == [0.0, 0.0]
    surely = lambda k, n: torch.tensor([0.9, 0.1]).roll(k).expand(n, 2)
    mine.add(surely(0, 2), torch.tensor([0, 1]))
    torch.testing.assert_close(mine.thresholds(), torch.tensor([0.8 * 0.25 / 1.75, 0.0]))  # 2 of 8 without
    mine.add(surely(1, 6), torch.arange(2, 8))
    mine.add(torch.full((2, 2), 0.5), torch.tensor([0, 2]))
    torch.testing.assert_close(mine.thresholds(), torch.tensor([0.8 * (1 / 3) / (5 / 3), 0.8]))
    mine.add(surely(1, 1), torch.tensor([0]))
    assert mine.said.tolist() == [1, 0, 1, 1, 1, 1, 1, 1, -1, -1]


@pytest.mark.parametrize("make", [lambda: SelfAdaptive(3), lambda: Curriculum(4, 3)])
def test_memory_lies_in_buffers(make) -> None:
    one, other = make(), make()
    one.add(*((P,) if isinstance(one, SelfAdaptive) else (P[:4], torch.arange(4))))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one.thresholds(), other.thresholds()) and not list(one.parameters())
