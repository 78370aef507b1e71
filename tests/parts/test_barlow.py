"""Cross-correlation of two views."""

from __future__ import annotations

import pytest
import torch

from understudy.parts.barlow import cross_correlation, redundancy


def test_by_numpy(double: None) -> None:
    f, g = torch.randn(50, 3), torch.randn(50, 3)
    want = torch.corrcoef(torch.cat([f, g], 1).T)[:3, 3:]
    torch.testing.assert_close(cross_correlation(f, g, 0.0), want)
    off = sum(want[i, j].item() ** 2 for i in range(3) for j in range(3) if i != j)
    assert redundancy(f, g, 0.1).item() == pytest.approx(
        (sum((1 - want[i, i].item()) ** 2 for i in range(3)) + 0.1 * off) / 3, rel=1e-3
    )


def test_views_that_say_the_same_each_in_its_own_way() -> None:
    f = torch.linalg.qr(torch.randn(40, 5) - 0.0)[0]
    f = f - f.mean(0)
    assert redundancy(10 * f, 100 * f, 0.0).item() == pytest.approx(0, abs=1e-3)
    assert redundancy(torch.ones(4, 2), torch.ones(4, 2)).item() == pytest.approx(1), "what doesn't vary goes with nothing"
    assert redundancy(torch.randn(1, 2), torch.randn(1, 2)).isfinite()
