"""Mean Teacher (Tarvainen and Valpola, NeurIPS 2017)."""

import torch

from understudy.core.card import Card
from understudy.core.method import Method, freeze, register, span
from understudy.parts.divergence import soft_cross_entropy, wide
from understudy.parts.ema import ema_, warm
from understudy.parts.labels import told
from understudy.parts.mix import mixed_up
from understudy.parts.poses import weakly
from understudy.parts.schedule import sigmoid_ramp


@register
class MeanTeacher(Method):
    r"""A student answers about one view of a row what the moving average of itself answers about another; few labels do.

        L = mean CE(y, s(v)) + w(t) mean (softmax s(v) - softmax u(v'))^2
        w(t) = weight exp(-5 (1 - t)^2) over the first part of the budget, t from 0 to 1

    After step k, u's weights are decay u + (1 - decay) s, with decay at most 1 - 1/(k + 1), so that an average of few steps is
    their mean. With mixup, v is mixed with another row of the batch, and both targets with it (a row without a label has u(v')
    for one).

    Shapes: v, v' two weak views of x [N, ...]; s, u [N, C] logits; y [N], -1 hidden.
    Departures: the teacher answers in evaluation mode, where the code has it draw dropout of its own. Views are those of
    `parts.poses`, for any kind of row. Mixup is that of Cances et al. (2022), who mix labelled rows with unlabelled ones; here
    every row is mixed with any other. The average is the result, as in the paper.
    """

    card = Card(
        "Mean teachers are better role models: Weight-averaged consistency targets improve semi-supervised deep learning results",
        "arXiv:1703.01780", 2017, world="utterances", baseline={"weight": 0.0}, forwards=2,
        tags={"self", "average", "classes"}, tune={"weight": (1.0, 10.0, 30.0, 100.0)},
    )  # fmt: skip

    weight: float = span(100.0, 0, 1e4)  # of the consistency; 0 leaves the labels alone
    decay: float = span(0.99, 0, 1)  # of the average, when it is warm
    ramp: float = span(0.25, 0, 1)  # share of the budget in which the weight rises
    mixup: float = span(0.0, 0, 10)  # both parameters of Beta; 0 mixes nothing

    def setup(self, world):
        student = world.student()
        return {"student": student, "teacher": freeze(student)}

    def loss(self, run, batch):
        with torch.no_grad():
            u = wide(run["teacher"](weakly(batch.x))).softmax(-1)
        v, y, u = mixed_up((weakly(batch.x), told(batch.y, u), u), self.mixup)
        s, known = run["student"](v), batch.y >= 0
        weight = self.weight * sigmoid_ramp(run.step, round(self.ramp * run.world.steps))
        return {
            "hard": soft_cross_entropy(y[known], s[known]),
            "consistency": weight * (wide(s).softmax(-1) - u).square().mean(),
        }

    def after_step(self, run, batch):
        ema_(run["teacher"], run["student"], warm(self.decay, run.step, 2))

    def result(self, run):
        return run.nets["teacher"]
