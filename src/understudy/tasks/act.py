"""Control: what to do, step by step, judged by what came of it."""

from __future__ import annotations

import torch
from torch import Tensor

from understudy.parts.divergence import mean, wide
from understudy.tasks.base import Task


class Act(Task):
    """One number to do at every step of an episode; out [N, L], the middle of a Gaussian of unit variance.

    y [N, L, 2]: what was done, and what it was worth against what else might have been; NaN once the episode is over. Of whole
    episodes, out [N] are returns and y [N] the return from which a task counts as mastered, NaN where it isn't to be counted.
    """

    name, metric = "act", "mastered"

    def hard(self, out: Tensor, y: Tensor) -> Tensor:
        """Policy gradient (Williams, 1992): -worth log N(done; out, 1), summed over steps, mean over episodes with any."""
        known = y.isfinite().all(-1)
        done, worth = torch.where(known[..., None], y, 0.0).to(wide(out)).unbind(-1)
        cost = worth * (done - wide(out)).square() / 2
        return torch.where(known, cost, 0.0).sum() / known.any(-1).sum().clamp(min=1)

    def soft(self, out: Tensor, target: Tensor, t: float) -> Tensor:
        """KL divergence of two Gaussians of unit variance; temperature has no meaning for them and is left aside."""
        return mean((wide(out) - wide(target)).square().flatten() / 2, False)

    def predict(self, out: Tensor) -> Tensor:
        return out

    def metrics(self, out: Tensor, y: Tensor) -> dict[str, float]:
        """mastered: share of tasks whose return is no less than asked; return: their mean."""
        known = y.isfinite()
        out, y = out[known].double(), y[known].double()
        return {"mastered": (out >= y - 1e-6).double().mean().item(), "return": out.mean().item()}
