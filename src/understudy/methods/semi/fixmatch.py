"""FixMatch (Sohn, Berthelot, Li, Zhang, Carlini, Cubuk, Kurakin, Zhang and Raffel, NeurIPS 2020)."""

import torch

from understudy.core.card import Card
from understudy.core.method import Method, register, span
from understudy.parts.divergence import soft_cross_entropy, wide
from understudy.parts.filters import sure
from understudy.parts.labels import told
from understudy.parts.mix import mixed_up
from understudy.parts.poses import strongly, weakly


@register
class FixMatch(Method):
    r"""What the student is sure of in a weak view of an unlabelled row, it is to see in a strong view too.

        L = mean CE(y, s(w)) + weight mean [max p >= threshold] CE(argmax p, s(v)),   p = softmax s(w)

    where the second mean is over all unlabelled rows of the batch, believed or not. With mixup, each row that is learned from
    is mixed with another, and its label, or the label it was given, likewise.

    Shapes: w, v a weak and a strong view of x [N, ...]; s [N, C] logits; p [N, C], no gradient; y [N], -1 hidden.
    Departures: strong views are those of `parts.poses`, which zoom, move, relight, blur with noise and hide parts of pictures,
    where the paper draws from RandAugment or CTAugment. Unlabelled rows are as many as the world deals out, not seven times the
    labelled ones; no moving average is taken for the result. Mixup is that of Cances et al. (2022), with any row of the batch.
    """

    card = Card(
        "FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence", "arXiv:2001.07685", 2020,
        world="utterances", baseline={"weight": 0.0}, tags={"self", "classes", "labels"}, forwards=2,
        tune={"weight": (0.3, 1.0, 3.0, 10.0)},
    )  # fmt: skip

    weight: float = span(1.0, 0, 1e3)  # of the rows without a label; 0 leaves the labels alone
    threshold: float = span(0.95, 0, 1)  # of the probability that makes a label
    mixup: float = span(0.0, 0, 10)  # both parameters of Beta; 0 mixes nothing

    def loss(self, run, batch):
        known, x = batch.y >= 0, batch.x
        near, u = weakly(x[known]), x[~known]
        with torch.no_grad():
            p = wide(run["student"](weakly(u))).softmax(-1)
        label = torch.cat([batch.y[known], p.argmax(-1)])
        rows, target = mixed_up((torch.cat([near, strongly(u)]), told(label, p.new_zeros(len(label), p.shape[-1]))), self.mixup)
        each = soft_cross_entropy(target, run["student"](rows), each=True)
        hard, pseudo = each.split([len(near), len(u)])
        kept = sure(p, self.threshold)
        return {
            "hard": hard.sum() / max(len(near), 1),
            "pseudo": self.weight * (pseudo * kept).sum() / max(len(u), 1),
        }
