"""Whether two series say the same, not only rise together."""

from __future__ import annotations

from torch import Tensor

from understudy.parts.divergence import wide


def ccc(a: Tensor, b: Tensor, eps: float = 1e-12) -> Tensor:
    """Concordance of two series of numbers, column by column, in [-1, 1]: 2 cov / (var a + var b + (mean a - mean b)^2), with
    moments over n. A row in which either is NaN is left out of that column; 0 where fewer than two are left or nothing varies.
    Lin (1989), eq. 3; [N, C], [N, C] -> [C]"""
    a, b = wide(a), wide(b)
    known = a.isfinite() & b.isfinite()
    n = known.sum(0).clamp(min=1)
    a, b = (x.masked_fill(~known, 0) for x in (a, b))
    m_a, m_b = a.sum(0) / n, b.sum(0) / n
    d_a, d_b = (a - m_a) * known, (b - m_b) * known
    agree, apart = 2 * (d_a * d_b).sum(0) / n, (d_a.square() + d_b.square()).sum(0) / n + (m_a - m_b).square()
    concordance: Tensor = agree / (apart + eps)
    return concordance * (known.sum(0) > 1)
