"""Views against views."""

from __future__ import annotations

import torch

from understudy.parts.crossviews import across, matched


def test_every_pair_but_a_view_with_itself() -> None:
    p, s = torch.randn(2, 5, 4, dtype=torch.double).softmax(-1), torch.randn(3, 5, 4, dtype=torch.double)
    found = [-(p[i, n] * (s[j, n] / 0.5).log_softmax(0)).sum() for i in range(2) for j in range(3) if i != j for n in range(5)]
    torch.testing.assert_close(across(p, s, 0.5), torch.stack(found).mean())


def test_the_most_similar_region_by_a_loop() -> None:
    f, g = torch.randn(2, 3, 6), torch.randn(2, 4, 6)
    for n in range(2):
        for m in range(3):
            alike = [torch.cosine_similarity(f[n, m], g[n, k], 0) for k in range(4)]
            assert matched(f, g)[n, m] == torch.stack(alike).argmax()
