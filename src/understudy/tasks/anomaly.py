"""How unusual a row is: a score, higher for what doesn't belong; y 0 is normal, 1 anomalous, -1 hidden."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from understudy.parts.divergence import binary_kl, wide
from understudy.tasks.base import Task


class Anomaly(Task):
    """How unusual a row is; out [N] in any unit (a map [N, ...] is worth its highest place), y [N] in {0, 1}, -1 is hidden.

    Only the order of scores is judged.
    """

    name, metric = "anomaly", "auroc"

    def hard(self, out: Tensor, y: Tensor) -> Tensor:
        """Binary cross-entropy of the score as log-odds: for who is shown anomalies, which few are."""
        out, known = _scores(out), y >= 0
        loss = F.binary_cross_entropy_with_logits(out[known], y[known].to(out), reduction="sum")
        return loss / known.sum().clamp(min=1)

    def soft(self, out: Tensor, target: Tensor, t: float) -> Tensor:
        return binary_kl(target.view(len(target), -1), out.view(len(out), -1), t)

    def predict(self, out: Tensor) -> Tensor:
        """Anomalous where the score is above 0."""
        return (_scores(out) > 0).long()

    def metrics(self, out: Tensor, y: Tensor) -> dict[str, float]:
        """auroc: how often an anomalous row scores above a normal one (0.5 where only one kind is there); ap: average precision."""
        from torchmetrics.functional.classification import binary_auroc, binary_average_precision

        out, y = _scores(out)[y >= 0], y[y >= 0]
        if len(y.unique()) < 2:
            return {"auroc": 0.5, "ap": y.double().mean().item() if len(y) else 0.0}
        places = out.unique(return_inverse=True)[
            1
        ].double()  # scores in [0, 1] in the same order: others would be squashed, and tie
        places = places / places.max().clamp(min=1)
        return {"auroc": binary_auroc(places, y).item(), "ap": binary_average_precision(places, y).item()}


def _scores(out: Tensor) -> Tensor:
    return wide(out).flatten(1).amax(1) if out.dim() > 1 else wide(out)
