"""Generalised knowledge distillation (Agarwal, Vieillard et al., ICLR 2024)."""

import torch

from understudy.core.card import Card
from understudy.core.method import Method, register, span
from understudy.parts.divergence import jensen


@register
class GKD(Method):
    r"""The student is corrected on its own writing as well as on given texts, by a divergence between forward and reverse KL.

        L = E_(y ~ texts or, with probability lmbda, y ~ s) mean D(u(. | y_<t), s(. | y_<t))
        D = beta KL(u || m) + (1 - beta) KL(s || m),    m = beta u + (1 - beta) s

    lmbda 0 is supervised distillation, 1 on-policy; no gradient goes through the writing. D would be 0 at beta 0 and 1; it is
    KL(u || s) and KL(s || u) there, the limits of D / (beta (1 - beta)).

    Shapes: log s, log u [N, L, V]; the mean is over the words that are asked for, or were written.
    Departures: one draw a step, for a whole batch, as in the paper's algorithm; no reinforcement term (its section 3.3).
    """

    card = Card(
        "On-Policy Distillation of Language Models: Learning from Self-Generated Mistakes", "arXiv:2306.13649", 2024,
        world="writing", baseline={"lmbda": 0.0, "beta": 0.0}, tags={"teacher", "matching", "acts"}, tasks=("lm",),
    )  # fmt: skip

    lmbda: float = span(0.5, 0, 1)  # how often the student writes what it learns from
    beta: float = span(0.5, 0, 1)  # 0: forward KL, 1: reverse KL

    def source(self, run):
        rows = run.rows()
        return run.world.play(run["student"], rows.prompt) if torch.rand(()) < self.lmbda else rows

    def loss(self, run, batch):
        return {"divergence": jensen(run["teacher"](batch.x), run["student"](batch.x), self.beta)}
