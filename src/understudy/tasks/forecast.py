"""What a series will be next; y [N, H] or [N, H, C] in the unit of the series, NaN is hidden."""

from __future__ import annotations

import torch
from torch import Tensor

from understudy.parts.divergence import wide
from understudy.tasks.base import Task


class Forecast(Task):
    """The next H values of a series, or of C series; out [N, H] or [N, H, C] like y, NaN is hidden."""

    name, metric = "forecast", "r2"

    def hard(self, out: Tensor, y: Tensor) -> Tensor:
        known = y.isfinite()
        apart = (wide(out) - y.nan_to_num().to(wide(out))) * known
        return apart.square().sum() / known.sum().clamp(min=1)

    def soft(self, out: Tensor, target: Tensor, t: float) -> Tensor:
        """Mean squared difference; a number has no temperature, so t is left aside."""
        return (wide(out) - wide(target)).square().mean()

    def predict(self, out: Tensor) -> Tensor:
        return out

    def metrics(self, out: Tensor, y: Tensor) -> dict[str, float]:
        """r2: 1 - squared error over the variance of all known values; mae, rmse in the unit of y; first, last: rmse one step and
        H steps ahead."""
        from torchmetrics.functional.regression import mean_absolute_error, mean_squared_error

        known = y.isfinite()
        said, true = wide(out)[known].double(), y[known].double()
        error = mean_squared_error(said, true)
        ahead = lambda h: mean_squared_error(wide(out)[:, h][known[:, h]].double(), y[:, h][known[:, h]].double()).sqrt().item()
        return {
            "r2": (1 - error / torch.var(true, correction=0).clamp_min(1e-12)).item(),
            "mae": mean_absolute_error(said, true).item(),
            "rmse": error.sqrt().item(),
            "first": ahead(0),
            "last": ahead(-1),
        }
