"""Control: a policy gradient whose hidden steps weigh nothing, and a share of mastered tasks."""

import math

import pytest
import torch

from understudy.tasks import task

act = task("act")


def test_loss_is_the_worth_times_the_surprise_of_what_was_done():
    out = torch.tensor([[1.0, 2.0]], requires_grad=True)
    loss = act.hard(out, torch.tensor([[[3.0, 0.5], [2.5, -2.0]]]))
    assert loss.item() == pytest.approx(0.5 * 4 / 2 - 2 * 0.25 / 2)
    loss.backward()
    assert out.grad.tolist() == [[-0.5 * 2, 2 * 0.5]]  # towards what was worth it, away from what wasn't


def test_what_is_over_weighs_nothing():
    y = torch.randn(4, 3, 2)
    out = torch.randn(4, 3, requires_grad=True)
    some = act.hard(out, act.hide(y, slice(2, None)))
    torch.testing.assert_close(some, act.hard(out[:2], y[:2]))
    none = act.hard(out, act.hide(y, slice(None)))
    none.backward()
    assert none == 0
    assert not out.grad.any()


def test_mastered_is_a_share_of_the_tasks_that_count():
    found = act.metrics(torch.tensor([1.0, 0.5, 1.0, 0.0]), torch.tensor([1.0, 1.0, 0.5, math.nan]))
    assert found == {"mastered": pytest.approx(2 / 3), "return": pytest.approx(2.5 / 3)}


def test_soft_is_zero_where_both_do_the_same():
    out = torch.randn(4, 3)
    assert act.soft(out, out, 2.0) == 0
    assert act.soft(out, out + 2, 2.0).item() == pytest.approx(2)
