"""LLKD: learning with less, from unlabelled texts (Li, Nag, Liu, Tang et al., 2024)."""

import math

import torch
import torch.nn.functional as F

from understudy.core.card import Card
from understudy.core.method import Method, choice, register, span
from understudy.parts.divergence import entropy, wide
from understudy.parts.running import RunningMeans


@register
class LLKD(Method):
    r"""Of the teacher's labels, the student learns those that the teacher is sure of and that it isn't sure of itself.

    Row i is labelled k = argmax u_i. The teacher's confidence c_i = max softmax(u_i) and the student's uncertainty
    h_i = H(softmax(s_i)) / log C each have a threshold for every class, the running mean over its rows so far:

        tau(k) <- m tau(k) + (1 - m) mean of c_i (or h_i) over the batch's rows labelled k
        L = sum w_i CE(k_i, s_i) / |those kept|,    w_i = c_i h_i,    kept: c_i >= tau_c(k_i) and h_i >= tau_h(k_i)

    keep: 'both' signals select, or the 'teacher' or the 'student' alone, or 'all' rows stay. weigh: w_i, or 1 for all.

    Shapes: s, u [N, C]; c, h, w, k [N]; tau [C] twice.
    Departures: the abstract tells that both signals select and weigh, by thresholds that follow training, each class's own; the
    product as weight, m, the mean over the rows that are kept and the even start of the running means are chosen here. A
    world's labels aren't looked at.
    """

    card = Card(
        "Learning with Less: Knowledge Distillation from Large Language Models via Unlabeled Data", "arXiv:2411.08028", 2024,
        slug="llkd", world="unlabelled", baseline={"keep": "all", "weigh": "no"}, tags={"teacher", "rows", "batch"},
        tasks=("classify",),
    )  # fmt: skip

    m: float = span(0.9, 0, 1)  # how much of a threshold stays at a step
    keep: str = choice("both", "teacher", "student", "all")
    weigh: str = choice("yes", "no")

    def setup(self, world):
        nets = super().setup(world)
        with torch.no_grad():
            classes = nets["teacher"](world.rows(0).x).shape[-1]
        return nets | {"sure": RunningMeans(classes, self.m), "unsure": RunningMeans(classes, self.m)}

    def loss(self, run, batch):
        s, u = run["student"](batch.x), run["teacher"](batch.x)
        c, k = wide(u).softmax(-1).max(-1)
        h = entropy(s.detach()) / math.log(max(s.shape[-1], 2))
        batch.update(sure=c, unsure=h, label=k)
        kept = torch.ones_like(k, dtype=torch.bool)
        if self.keep in ("both", "teacher"):
            kept = kept & (c >= run["sure"].after(c, k)[k])
        if self.keep in ("both", "student"):
            kept = kept & (h >= run["unsure"].after(h, k)[k])
        w = c * h if self.weigh == "yes" else torch.ones_like(c)
        each = F.cross_entropy(wide(s), k, reduction="none")
        return {"pseudo": (w * each * kept).sum() / kept.sum().clamp(min=1)}

    def after_step(self, run, batch):
        run["sure"].add(batch.sure, batch.label)
        run["unsure"].add(batch.unsure, batch.label)
