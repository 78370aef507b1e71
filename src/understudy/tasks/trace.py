"""Knowledge tracing: whether each answer of a sequence will be right; y [N, L] in {0, 1}, NaN is hidden or padding."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from understudy.parts.divergence import binary_kl, wide
from understudy.tasks.base import Task


class Trace(Task):
    """Right or wrong, answer by answer; out [N, L] are log-odds, y [N, L] in {0, 1}, NaN is hidden or padding."""

    name, metric = "trace", "auc"

    def hard(self, out: Tensor, y: Tensor) -> Tensor:
        known = y.isfinite()
        loss = F.binary_cross_entropy_with_logits(wide(out), y.nan_to_num().to(wide(out)), reduction="none")
        return (loss * known).sum() / known.sum().clamp(min=1)

    def soft(self, out: Tensor, target: Tensor, t: float) -> Tensor:
        """t^2 KL of the answers' Bernoullis, mean over rows and answers."""
        return binary_kl(target, out, t) / max(out.shape[1], 1)

    def predict(self, out: Tensor) -> Tensor:
        return out > 0

    def metrics(self, out: Tensor, y: Tensor) -> dict[str, float]:
        """auc: over all known answers together, 0.5 where they are all right or all wrong; accuracy at log-odds of 0."""
        from torchmetrics.functional.classification import binary_auroc

        known = y.isfinite()
        said, true = wide(out)[known].double(), y[known].long()
        both = 0 < int(true.sum()) < len(true)
        return {
            "auc": binary_auroc(said.sigmoid(), true).item() if both else 0.5,
            "accuracy": ((said > 0) == true.bool()).double().mean().item(),
            "nll": self.hard(said, true.double()).item(),
        }
