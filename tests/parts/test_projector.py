"""Heads that are thrown away."""

from __future__ import annotations

import torch

from understudy.parts.projector import BatchNorm, Directions, mlp


def test_normalised_by_the_batch_in_training_and_out_of_it() -> None:
    norm, x = BatchNorm(3), 5 + 2 * torch.randn(16, 3)
    learning = norm(x)
    torch.testing.assert_close(norm.eval()(x), learning)
    torch.testing.assert_close(learning.mean(0), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(norm(x[:1]), x[:1])
    assert mlp(3, 8, 2)(x).shape == (16, 2) and mlp(3, 8, 2)(x[:1]).isfinite().all()


def test_directions_are_cosines() -> None:
    head, x = Directions(6, 8, 4, 5), torch.randn(7, 6)
    said, inside = head(x), head.neck(x)
    for i in range(7):
        for k in range(5):
            torch.testing.assert_close(said[i, k], torch.cosine_similarity(inside[i], head.directions[k], 0))


def test_without_normalisation_a_row_hangs_on_itself_alone() -> None:
    x = torch.randn(7, 6)
    for norm in (True, False):
        head = Directions(6, 8, 4, 5, norm)
        alone = torch.cat([head(row[None]) for row in x])
        assert torch.allclose(alone, head(x), atol=1e-6) is not norm
