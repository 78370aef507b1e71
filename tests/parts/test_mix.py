"""Two rows in one, and their labels with them."""

from __future__ import annotations

import pytest
import torch

from understudy.parts.mix import blended, class_mask, cut, mixed_up, paste, shares, window


def test_shares_are_of_beta_and_the_larger_part() -> None:
    any_, own = shares(20000, 0.75, own=False), shares(20000, 0.75)
    assert any_.mean().item() == pytest.approx(0.5, abs=0.01) and any_.var().item() == pytest.approx(1 / (4 * 2.5), abs=0.005)
    assert own.min() >= 0.5 and own.max() <= 1 and own.mean() > 0.7
    assert torch.equal(shares(3, 0.0), torch.ones(3)) and shares(0, 1.0).shape == (0,)
    assert shares(500, 0.01).isfinite().all()


def test_rows_and_labels_are_blended_alike() -> None:
    x, y = torch.randn(4, 2, 3, 3), torch.eye(4)
    share = torch.tensor([1.0, 0.75, 0.5, 0.0])
    got = blended(x, x.roll(1, 0), share)
    torch.testing.assert_close(got[1], 0.75 * x[1] + 0.25 * x[0])
    assert torch.equal(got[0], x[0]) and torch.equal(got[3], x[2])
    torch.testing.assert_close(blended(y, y.roll(1, 0), share)[1], torch.tensor([0.25, 0.75, 0, 0]))


def test_each_row_is_mixed_with_another_and_so_is_what_belongs_to_it() -> None:
    x = torch.eye(6)
    a, b = mixed_up((x, 3 * x[:, :, None]), 0.75)
    torch.testing.assert_close(3 * a[:, :, None], b)
    own = a.diagonal()
    assert (own >= 0.5).all() and (own < 1).any() and torch.allclose(a.sum(1), torch.ones(6))
    assert ((a > 0).sum(1) <= 2).all() and ((a - torch.diag(own)) > 0).sum(0).max() <= 1
    state = torch.get_rng_state()
    assert mixed_up((x,), 0.0)[0] is x and torch.equal(state, torch.get_rng_state())


def test_a_rectangle_is_cut_and_the_share_is_what_is_left() -> None:
    mask, left = cut(16, 20, torch.full((400,), 0.75))
    torch.testing.assert_close(left, mask.float().mean((1, 2)))
    assert left.min() >= 0.7 and left.max() < 1 and 0.75 < left.mean() < 0.9  # some of it lies outside
    assert [v.shape for v in cut(16, 20, torch.ones(0))] == [(0, 16, 20), (0,)], "of no rows there are no masks"
    for m in mask[:20]:
        rows, columns = (~m).any(1), (~m).any(0)
        assert torch.equal(~m, rows[:, None] & columns[None]), "a rectangle"
        assert rows.sum() <= 9 and columns.sum() <= 11
    assert cut(4, 4, torch.ones(2))[0].all()


def test_half_of_the_classes_are_pasted() -> None:
    y = torch.tensor([[[0, 0, 1], [2, 2, -1]], [[3, 3, 3], [3, 3, 3]]])
    for _ in range(20):
        mask = class_mask(y, 4)
        assert mask[1].all() and not mask[0, 1, 2]
        own = [c for c in range(3) if mask[0][y[0] == c].any()]
        assert len(own) == 2 and all(mask[0][y[0] == c].all() for c in own)
    assert len({tuple(class_mask(y, 4).flatten().tolist()) for _ in range(50)}) == 3


def test_one_mask_for_all_or_one_a_row() -> None:
    a, b, mask = torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4), window(4, 4, 0.5)
    assert paste(a, b, mask).sum() == 2 * 3 * 4
    each = torch.stack([mask, torch.ones_like(mask)])
    got = paste(a, b, each)
    assert torch.equal(got[0], paste(a, b, mask)[0]) and not got[1].any()
    assert torch.equal(paste(a[:, 0], b[:, 0], each)[0], got[0, 0])
