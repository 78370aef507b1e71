"""Masks of arrivals, picks, and which picks one source explains."""

import math

import pytest
import torch

from understudy.parts.picks import associated, masks, picking, picks, travel

SLOW = torch.tensor([2.0, 3.0])


def test_masks_by_hand_and_nothing_where_nothing_arrived(double):
    got = masks(torch.tensor([[[3.0, math.nan], [math.nan, math.nan]]]), 8, 2.0)
    assert got.shape == (1, 3, 2, 8) and torch.allclose(got.sum(1), torch.ones(1, 2, 8))
    assert got[0, 1, 0].tolist() == pytest.approx([math.exp(-((t - 3) ** 2) / 8) for t in range(8)])
    assert not got[0, 2].any() and not got[0, 1, 1].any()


def test_two_arrivals_at_once_share_what_there_is(double):
    assert masks(torch.tensor([[[3.0, 3.0]]]), 8, 2.0)[0, :, 0, 3].tolist() == pytest.approx([0, 0.5, 0.5])


def test_the_loss_leaves_out_who_has_no_pick(double):
    out, arrival = torch.randn(2, 3, 4, 8), 8 * torch.rand(2, 4, 2)
    arrival[0, 1:] = torch.nan
    target, log_p = masks(arrival, 8, 2.0), out.log_softmax(1)
    each = [-(target[n, :, c] * log_p[n, :, c]).sum(0).mean() for n in range(2) for c in range(4) if n or not c]
    assert picking(out, arrival, 2.0).item() == pytest.approx(torch.stack(each).mean().item())
    assert picking(out, torch.full_like(arrival, torch.nan), 2.0).item() == 0


def test_picks_are_read_back_from_masks(double):
    arrival = torch.tensor([[[5.0, 20.0], [9.0, math.nan]]])
    said, p = picks((masks(arrival, 30, 2.0) + 1e-9).log(), 0.5)
    assert (
        torch.equal(said.isnan(), arrival.isnan()) and torch.equal(said.nan_to_num(0), arrival.nan_to_num(0)) and p.max() > 0.99
    )


def test_one_source_keeps_its_own_picks_and_no_others(double):
    """Travel times of a source at (3, 4) beside 8 sensors; a fifth of the picks are moved far away."""
    arrival = 10 + travel(torch.tensor([3.0]), torch.tensor([4.0]), 8, SLOW)
    assert arrival[0, 0].tolist() == pytest.approx([10 + 2 * 5, 10 + 3 * 5])
    wrong = torch.zeros(1, 8, 2, dtype=torch.bool)
    wrong[0, [1, 4, 6], [0, 1, 0]] = True
    moved = torch.where(wrong, arrival + 25, arrival)
    moved[0, 7, 1] = torch.nan
    kept = associated(moved, SLOW, 1.5, 6)
    assert torch.equal(kept, ~wrong & moved.isfinite())
    assert not associated(moved, SLOW, 1.5, 13).any(), "too few picks are no earthquake"
    assert not associated(torch.full_like(moved, torch.nan), SLOW, 1.5, 1).any()
