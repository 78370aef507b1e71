"""Words in two tokenisations: what a network that knows the pieces says of a word, as a vector for one that has it whole."""

from __future__ import annotations

import torch
from torch import Tensor


def by_word(states: Tensor, words: Tensor, most: int) -> Tensor:
    """Mean over the tokens of each word; [N, L, D] and the numbers [N, L] of words, -1 for none -> [N, most, D], 0 where no token is"""
    at = words.clamp(min=0) + (words < 0) * most  # what is no word goes into a slot of its own
    sums = states.new_zeros(len(states), most + 1, states.shape[-1]).scatter_add_(1, at[..., None].expand_as(states), states)
    counts = states.new_zeros(len(states), most + 1).scatter_add_(1, at, torch.ones_like(at, dtype=states.dtype))
    return (sums / counts.clamp(min=1)[..., None])[:, :-1]


@torch.no_grad()
def set_rows_(weight: Tensor, first: int, sums: Tensor, counts: Tensor) -> None:
    """Rows from `first` on become means, as long as the rows before them are on average; what was never seen stays as it is.

    weight [V, D], sums [V - first, D], counts [V - first].
    """
    found = counts > 0
    means = sums[found] / counts[found, None]
    length = weight[:first].norm(dim=-1).mean()
    weight[first:][found] = (means * length / means.norm(dim=-1, keepdim=True).mean().clamp(min=1e-12)).to(weight)
