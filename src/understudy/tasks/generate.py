"""Rows like those of a data set; no row has an answer of its own, only all of them together."""

from __future__ import annotations

import torch
from torch import Tensor

from understudy.parts.divergence import wide
from understudy.tasks.base import Task


class Generate(Task):
    """Rows like those of a data set; out [N, ...] is what was made, y [M, ...] what is real, NaN is hidden."""

    name, metric, share = "generate", "energy", False

    def hard(self, out: Tensor, y: Tensor) -> Tensor:
        """The energy distance between what was made and what is real."""
        y = y[y.flatten(1).isfinite().all(1)]
        return energy_distance(out, y.to(wide(out))) if len(y) else 0 * wide(out).sum()

    def soft(self, out: Tensor, target: Tensor, t: float) -> Tensor:
        """Mean squared difference to what the teacher made of the same noise; a row has no temperature, so t is left aside."""
        return (wide(out) - wide(target)).square().mean()

    def predict(self, out: Tensor) -> Tensor:
        return out

    def metrics(self, out: Tensor, y: Tensor) -> dict[str, float]:
        """energy: minus the energy distance. precision, recall: the share of made rows nearer to some real one than that one's third
        nearest of its own kind, and the other way round (Kynkaanniemi et al. 2019)."""
        y = y[y.flatten(1).isfinite().all(1)].flatten(1).double()
        out = out.flatten(1).double()
        return {
            "energy": -energy_distance(out, y).item(),
            "precision": _within(out, y).double().mean().item(),
            "recall": _within(y, out).double().mean().item(),
        }


def energy_distance(a: Tensor, b: Tensor) -> Tensor:
    """2 E|a - b| - E|a - a'| - E|b - b'|, over all pairs: 0 if and only if both are the same rows (Szekely and Rizzo 2013);
    [N, ...], [M, ...] -> []"""
    a, b = wide(a).flatten(1), wide(b).flatten(1)
    return 2 * _far(a, b).mean() - _far(a, a).mean() - _far(b, b).mean()


def _far(a: Tensor, b: Tensor) -> Tensor:
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")  # by products, near rows would be rounded together


def _within(some: Tensor, others: Tensor, k: int = 3) -> Tensor:
    """Whether a row lies in the k-nearest-neighbour ball of one of the others; [N, D], [M, D] -> [N]"""
    radius = _far(others, others).kthvalue(min(k + 1, len(others)), 1).values
    return (_far(some, others) <= radius).any(1)
