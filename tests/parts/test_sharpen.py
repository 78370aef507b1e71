"""Answers made surer, or more even."""

from __future__ import annotations

import pytest
import torch

from understudy.parts.sharpen import Alignment, Centre, aligned, evened, sharpened

P = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])


def test_sharpening_by_its_equation() -> None:
    torch.testing.assert_close(sharpened(P, 0.5), P**2 / (P**2).sum(1, keepdim=True))
    torch.testing.assert_close(sharpened(P, 1.0), P)
    torch.testing.assert_close(sharpened(P[:1], 1e-2), torch.tensor([[1.0, 0.0, 0.0]]))
    assert sharpened(torch.tensor([[1.0, 0.0], [1e-30, 1.0]]), 0.1).isfinite().all()


def test_every_class_gets_its_share() -> None:
    p = evened(torch.randn(60, 4, dtype=torch.double) + torch.tensor([3.0, 0, 0, 0]), t=0.5, rounds=60)
    torch.testing.assert_close(p.sum(1), torch.ones(60, dtype=torch.double))
    torch.testing.assert_close(p.sum(0), torch.full((4,), 15.0, dtype=torch.double), rtol=1e-4, atol=1e-4)


def test_one_round_by_hand() -> None:
    """exp of logits, classes to sum 1 over rows, then rows to sum 1: what SwAV does thrice."""
    z = torch.randn(5, 3, dtype=torch.double)
    q = (z / 0.3).exp()
    q = q / q.sum(0)
    torch.testing.assert_close(evened(z, 0.3, 1), q / q.sum(1, keepdim=True))


def test_alignment_by_hand() -> None:
    target, mean = torch.tensor([0.5, 0.25, 0.25]), torch.tensor([0.25, 0.5, 0.25])
    torch.testing.assert_close(aligned(P[:1], target, mean), torch.tensor([[1.2, 0.15, 0.1]]) / 1.45)
    torch.testing.assert_close(aligned(P, mean, mean), P)
    assert aligned(P, target, torch.tensor([0.0, 0.5, 0.5])).isfinite().all()


def test_answers_that_favour_a_class_are_aligned_by_the_last_batches() -> None:
    mine = Alignment(torch.full((3,), 1 / 3), batches=2)
    assert torch.equal(mine(P), P), "nothing to go by before the first"
    for p in (torch.tensor([[1.0, 0, 0]]), P[:1], P[1:]):
        mine.add(p)
    mean = P.mean(0)  # the first has been forgotten
    want = P / 3 / mean
    torch.testing.assert_close(mine(P), want / want.sum(1, keepdim=True))
    mine.add(P[:0])
    torch.testing.assert_close(mine(P), want / want.sum(1, keepdim=True))


def test_the_centre_follows_and_is_taken_off() -> None:
    mine, z = Centre(3, m=0.75), torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    mine.add(z)
    torch.testing.assert_close(mine.c, torch.full((3,), 0.5))
    mine.add(torch.tensor([[4.0, 0.0, 0.0]]))
    torch.testing.assert_close(mine.c, torch.tensor([1.375, 0.375, 0.375]))
    torch.testing.assert_close(mine(z, 0.1), ((z - mine.c) / 0.1).softmax(1))
    mine.add(z[:0])
    assert mine.c.isfinite().all()


@pytest.mark.parametrize("make", [lambda: Alignment(torch.ones(3) / 3, 4), lambda: Centre(3)])
def test_memory_lies_in_buffers(make) -> None:
    one, other = make(), make()
    one.add(P)
    other.load_state_dict(one.state_dict())
    args = (0.1,) if isinstance(one, Centre) else ()
    assert torch.equal(one(P, *args), other(P, *args)) and not list(one.parameters())
