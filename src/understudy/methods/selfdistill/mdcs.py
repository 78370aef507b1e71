"""MDCS: more diverse experts with consistency self-distillation (Zhao, Jiang, Hu, Lan and Zhang, ICCV 2023)."""

import torch

from understudy.core.card import Card
from understudy.core.method import Method, register, span
from understudy.parts.divergence import kl
from understudy.parts.experts import Experts, Together, adjusted, counts
from understudy.parts.poses import strongly, weakly
from understudy.parts.schedule import ramp


@register
class MDCS(Method):
    r"""Where classes are frequent and rare, three experts that share their first layers care for different ones, and each keeps
    in a strong view what it gets right in a weak one.

        L = sum_k (CE(y, z_k(w)) + CE(y, z_k(v))) / 2 + weight(t) sum_k mean_{i in A_k} KL(softmax z_k(w_i) || softmax z_k(v_i))
        z_k = s_k + lambda_k log n,   A_k = rows that z_k(w) gets right,   lambda = (-0.5, 1, 2.5)

    n are the classes' counts of training rows; an expert with a larger lambda leans to the rare classes once n is left out. The
    answer is the mean of s_k. No gradient goes through z_k(w) in the second sum, whose weight rises at first.

    Shapes: w, v a weak and a strong view of x [N, ...]; s_k, z_k [N, C] logits; n [C]; y [N].
    Departures: views are those of `parts.poses`, where the authors take AutoAugment for the strong one. A class without rows
    counts as one with one. The learning rate is the world's; no weights by effective numbers in the last epochs.
    """

    card = Card(
        "MDCS: More Diverse Experts with Consistency Self-distillation for Long-tailed Recognition", "arXiv:2308.09922", 2023,
        slug="mdcs", world="longtail", baseline={"head": 1.0, "tail": 1.0, "weight": 0.0}, forwards=1,
        tags={"self", "classes", "labels"}, tune={"weight": (0.3, 0.6, 1.0, 2.0)},
    )  # fmt: skip

    head: float = span(-0.5, -10, 10)  # lambda of the first expert, who keeps to frequent classes
    middle: float = span(1.0, -10, 10)  # of the second, to whom all are alike
    tail: float = span(2.5, -10, 10)  # of the third, who cares for the rare ones
    weight: float = span(0.6, 0, 1e3)  # of keeping in a strong view what was right in a weak one
    warmup: float = span(0.05, 0, 1)  # share of the budget in which it rises; 20 of 400 epochs
    shared: int = span(1, 1, 100)  # how many of the network's parts the experts share

    def setup(self, world):
        first = world.rows(0)
        student = Together(Experts(world.student(), 3, first.x, self.shared))
        y = torch.cat([part.y for part in world.sweep()])
        with torch.no_grad():
            classes = student(first.x).shape[-1]
        student.register_buffer("count", counts(y, classes))
        return {"student": student}

    def loss(self, run, batch):
        student, hard, kept = run["student"], [], []
        said = student.inner(torch.cat([weakly(batch.x), strongly(batch.x)]))
        for s, leaning in zip(said, (self.head, self.middle, self.tail), strict=True):
            w, v = adjusted(s, student.count, leaning).chunk(2)
            right = (batch.y >= 0) & (w.argmax(-1) == batch.y)
            hard.append((run.world.hard(w, batch) + run.world.hard(v, batch)) / 2)
            kept.append(kl(w[right].detach(), v[right]))
        rise = ramp(run.step, round(self.warmup * run.world.steps))
        return {"hard": sum(hard), "kept": self.weight * rise * sum(kept)}
