"""MixMatch (Berthelot, Carlini, Goodfellow, Papernot, Oliver and Raffel, NeurIPS 2019)."""

import torch

from understudy.core.card import Card
from understudy.core.method import Method, register, span
from understudy.parts.divergence import soft_cross_entropy, wide
from understudy.parts.labels import told
from understudy.parts.mix import mixed_up
from understudy.parts.poses import weakly
from understudy.parts.schedule import ramp
from understudy.parts.sharpen import sharpened


@register
class MixMatch(Method):
    r"""Labels are guessed from several views and made surer, then all rows and labels are mixed with one another.

        q = sharpen(mean_k softmax s(u_k), t)
        (X', U') = mixup of (x, y) and (u_k, q) with all of them in another order, each row the larger part of its mixture
        L = mean_X' CE(y', s(x')) + w(t) mean_U' (q' - softmax s(u'))^2

    w(t) rises in a straight line. sharpen(p, t) is p^(1/t) over its sum.

    Shapes: x, u weak views [N, ...] of labelled and unlabelled rows, u_k of views k = 1 ... K; s [N, C] logits; q, q', y' [N, C].
    Departures: views are those of `parts.poses`, for any kind of row; no moving average is taken for the result, and weights
    don't decay but by the world's optimiser. mixup = 0 guesses and sharpens only.
    """

    card = Card(
        "MixMatch: A Holistic Approach to Semi-Supervised Learning", "arXiv:1905.02249", 2019, world="utterances",
        baseline={"weight": 0.0, "mixup": 0.0}, tags={"self", "classes", "labels", "batch"}, forwards=2,
        tune={"weight": (1.0, 10.0, 30.0, 75.0)},
    )  # fmt: skip

    weight: float = span(75.0, 0, 1e4)  # of the rows without a label; 0 and mixup 0 leave the labels alone
    views: int = span(2, 1, 16)  # K, that a label is guessed from
    t: float = span(0.5, 1e-2, 1)  # temperature; 1 leaves guesses as they are
    mixup: float = span(0.75, 0, 10)  # both parameters of Beta; 0 mixes nothing
    ramp: float = span(0.25, 0, 1)  # share of the budget in which the weight rises

    def loss(self, run, batch):
        known = batch.y >= 0
        x, u = weakly(batch.x[known]), torch.cat([weakly(batch.x[~known]) for _ in range(self.views)])
        with torch.no_grad():
            p = wide(run["student"](u)).softmax(-1)
            q = sharpened(p.unflatten(0, (self.views, -1)).mean(0), self.t).repeat(self.views, 1)
        label = told(batch.y[known], p.new_zeros(len(x), p.shape[-1]))
        rows, target = mixed_up((torch.cat([x, u]), torch.cat([label, q])), self.mixup)
        s, n = run["student"](rows), len(x)
        off = (wide(s[n:]).softmax(-1) - target[n:]).square()
        weight = self.weight * ramp(run.step, round(self.ramp * run.world.steps))
        return {"hard": soft_cross_entropy(target[:n], s[:n]), "guessed": weight * off.sum() / max(off.numel(), 1)}
