"""Arousal, dominance, valence of a voice; y [N, 3], NaN is hidden."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from understudy.parts.concordance import ccc
from understudy.parts.divergence import wide
from understudy.tasks.base import Task


class Affect(Task):
    """Arousal, dominance, valence; out [N, 3] in the unit of y [N, 3], NaN is hidden. Any number of columns will do."""

    name, metric = "affect", "ccc"

    def hard(self, out: Tensor, y: Tensor) -> Tensor:
        """1 - concordance over the batch, mean over the columns in which two labels are known."""
        known = (y.isfinite().sum(0) > 1).to(wide(out))
        return ((1 - ccc(out, y.to(wide(out)))) * known).sum() / known.sum().clamp(min=1)

    def soft(self, out: Tensor, target: Tensor, t: float) -> Tensor:
        """1 - concordance over the batch, mean over columns; a number has no temperature, so t is left aside."""
        return 1 - ccc(out, target).mean()

    def predict(self, out: Tensor) -> Tensor:
        return out

    def metrics(self, out: Tensor, y: Tensor) -> dict[str, float]:
        """ccc: mean concordance over columns, 0 for one that doesn't vary; one by one as ccc_0 ...; rmse in the unit of y."""
        from torchmetrics.functional.regression import concordance_corrcoef

        rows = y.isfinite().all(-1)
        out, y = wide(out)[rows].double(), y[rows].double()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a column that doesn't vary is 0 here
            each = torch.stack([concordance_corrcoef(o, t) for o, t in zip(out.T, y.T, strict=True)]).nan_to_num().flatten()
        single = {f"ccc_{i}": v for i, v in enumerate(each.tolist())}
        return {"ccc": each.mean().item(), **single, "rmse": (out - y).square().mean().sqrt().item()}
