"""One label for every token; -1 is hidden, or padding."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from understudy.parts.divergence import kl, wide
from understudy.tasks.base import Task


class Tag(Task):
    """One label for every token; out [N, L, C] are logits, y [N, L], -1 is hidden or padding.

    A masked language model is one of these: C words, and only the masked ones are asked for.
    """

    name, metric = "tag", "accuracy"

    def hard(self, out: Tensor, y: Tensor) -> Tensor:
        total = F.cross_entropy(wide(out).flatten(0, 1), y.flatten(), ignore_index=-1, reduction="sum")
        return total / (y >= 0).sum().clamp(min=1)

    def soft(self, out: Tensor, target: Tensor, t: float) -> Tensor:
        """Mean over all tokens: a teacher also speaks of those without a label."""
        return kl(target.flatten(0, -2), out.flatten(0, -2), t)

    def predict(self, out: Tensor) -> Tensor:
        return out.argmax(-1)

    def metrics(self, out: Tensor, y: Tensor) -> dict[str, float]:
        """accuracy: of tokens; f1: the mean over the labels that occur or are given; nll in nats a token."""
        from torchmetrics.functional.classification import multiclass_f1_score

        out, y = wide(out)[y >= 0], y[y >= 0]
        return {
            "accuracy": (out.argmax(-1) == y).double().mean().item(),
            "f1": multiclass_f1_score(out.argmax(-1), y, out.shape[-1], average="macro").item(),
            "nll": F.cross_entropy(out, y).item(),
        }
