"""Numbers in groups."""

from __future__ import annotations

import torch
from torch import Tensor


def two_means(x: Tensor) -> tuple[Tensor, Tensor]:
    """The centres of two clusters of numbers, smaller and larger, whose squared distances sum to the least: the best k-means could
    find, exactly, since clusters of numbers are the two sides of a cut. Of one number, or equal ones, that number twice; at least
    one; [n] -> [], []"""
    x = x.sort().values
    if len(x) < 2:
        return x[0], x[0]
    n = torch.arange(1, len(x), device=x.device, dtype=x.dtype)
    sums = x.cumsum(0)
    low, high = sums[:-1] / n, (sums[-1] - sums[:-1]) / (len(x) - n)
    cut = (n * low.square() + (len(x) - n) * high.square()).argmax()  # what lies between is most where what lies within is least
    return low[cut], high[cut]
