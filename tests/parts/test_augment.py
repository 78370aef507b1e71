from __future__ import annotations

import torch

from understudy.core.seeds import stream
from understudy.parts.augment import jittered, moved, noisy, recoloured


def test_nothing_to_do_leaves_rows_as_they_are() -> None:
    x = torch.randn(3, 2, 6, 6)
    for y in (recoloured(x, 0.0), moved(x, 0.0, 0.0, 0.0), noisy(x, 0.0)):
        torch.testing.assert_close(y, x, atol=1e-5, rtol=1e-5)


def test_each_row_is_changed_its_own_way_within_bounds() -> None:
    x = torch.randn(1, 1, 6, 6).expand(64, -1, -1, -1)
    y = recoloured(x, 0.3)
    ratio = y.flatten(1).std(1) / x.flatten(1).std(1)
    assert ratio.min() >= 0.7 - 1e-5 and ratio.max() <= 1.3 + 1e-5 and ratio.std() > 0.1
    assert moved(x, 15.0, 0.1, 0.1).flatten(1).std(0).max() > 0.05
    assert moved(x, 15.0, 0.1, 0.1).abs().max() <= x.abs().max() + 1e-5  # edges repeat, values are interpolated


def test_a_quarter_turn_is_a_quarter_turn() -> None:
    torch.manual_seed(0)
    x = torch.zeros(1, 1, 5, 5)
    x[0, 0, 0, 2] = 1
    seen = {tuple(moved(x, 90.0, 0.0, 0.0).flatten().topk(1).indices.tolist()) for _ in range(200)}
    assert {(10,), (14,), (2,)} <= seen  # from the top to the left, to the right, or nearly where it was


def test_jittered_changes_rows_of_any_shape_a_little() -> None:
    with stream("jittered"):
        for x in (torch.randn(50, 1, 8, 8), torch.randn(50, 20)):
            y = jittered(x)
            assert y.shape == x.shape and not torch.equal(x, y)
            assert torch.nn.functional.cosine_similarity(x.flatten(1), y.flatten(1)).mean() > 0.5
