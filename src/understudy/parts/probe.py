"""What a frozen encoder knows, asked by the simplest reader there is."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


class Probe:
    """A linear classifier in closed form: ridge regression of one-hot labels on standardised features, the answer being the
    largest. No chance, no steps, no rate to choose. Hoerl and Kennard (1970)

        W = (F^T F + ridge N I)^-1 F^T (Y - mean Y),   F = (f - mean) / (std + 1e-6)
    """

    def __init__(self, f: Tensor, y: Tensor, classes: int, ridge: float = 1e-3) -> None:
        """f [N, D] features, y [N] labels in 0 .. classes-1, or [N, classes] what is there, 1, and what isn't, 0"""
        f = f.double()
        self.mean, self.std = f.mean(0), f.std(0, correction=0) + 1e-6
        f, target = (f - self.mean) / self.std, (F.one_hot(y, classes) if y.dim() == 1 else y).double()
        self.shift = target.mean(0)
        gram = f.T @ f + ridge * len(f) * torch.eye(f.shape[1], dtype=f.dtype)
        self.w = torch.linalg.solve(gram, f.T @ (target - self.shift))

    def __call__(self, f: Tensor) -> Tensor:
        """Scores, whose largest is the answer; [N, D] -> [N, classes]"""
        scores: Tensor = ((f.double() - self.mean) / self.std) @ self.w + self.shift
        return scores

    def right(self, f: Tensor, y: Tensor) -> float:
        """Share of rows that are answered right; [N, D], [N] -> in [0, 1]"""
        return (self(f).argmax(1) == y).double().mean().item()

    def found(self, f: Tensor, y: Tensor) -> float:
        """Where as many answers are given as there are true ones, the share of them that is right, mean over rows; [N, D], [N,
        classes] of 0 and 1, a 1 in every row -> in [0, 1]"""
        place, count = self(f).argsort(1, descending=True).argsort(1), y.sum(1, keepdim=True)
        return ((place < count) * y / count).sum(1).double().mean().item()
