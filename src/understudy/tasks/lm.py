"""The next token at every place; -1 is hidden (a prompt, padding)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from understudy.parts.divergence import kl, wide
from understudy.tasks.base import Task


class Lm(Task):
    """out [N, L, V] are logits of the next of V tokens, y [N, L] which it is, -1 is hidden."""

    name, metric = "lm", "exact"

    def hard(self, out: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(wide(out).flatten(0, 1), y.flatten(), ignore_index=-1, reduction="sum") / (y >= 0).sum().clamp(
            min=1
        )

    def soft(self, out: Tensor, target: Tensor, t: float) -> Tensor:
        """KL at every place, prompts included: a teacher's answer is known there too."""
        return kl(target.flatten(0, 1), out.flatten(0, 1), t)

    def predict(self, out: Tensor) -> Tensor:
        return out.argmax(-1)

    def metrics(self, out: Tensor, y: Tensor) -> dict[str, float]:
        """exact: rows whose every token is right, given the right ones before it; perplexity of a token."""
        from torchmetrics.functional.text import perplexity

        rows = (y >= 0).any(-1)
        out, y = wide(out)[rows], y[rows]
        exact = ((out.argmax(-1) == y) | (y < 0)).all(-1).double().mean().item()
        return {"exact": exact, "perplexity": perplexity(out, y, ignore_index=-1).item()}
