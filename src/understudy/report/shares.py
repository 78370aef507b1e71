"""Which metrics are read as per cent; apart from `findings`, so that who only shows numbers needs no torch."""

from __future__ import annotations

SHARES = ("accuracy", "top", "f1", "auc", "auroc", "map", "miou", "iou", "exact", "precision", "recall", "ndcg", "mrr")


def is_share(metric: str, value: float) -> bool:
    """Whether a metric of that name at that value is read as per cent."""
    return metric.lower().startswith(SHARES) and 0 <= value <= 1
