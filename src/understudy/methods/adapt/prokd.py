"""ProKD: prototypical knowledge distillation (Ge, Hu, Ma, Zhang and Liu, AAAI 2023)."""

import copy

from torch.nn import functional as F

from understudy.core.card import Card
from understudy.core.method import Method, at, register, span
from understudy.core.taps import tap
from understudy.parts.contrast import infonce
from understudy.parts.divergence import kl, wide
from understudy.parts.prototypes import Moving, soft_means
from understudy.parts.relation import unit


@register
class ProKD(Method):
    r"""A tagger draws each tag's mean in its language to that in another language, which has no tags; there a student learns from
    it, and from its answers corrected by how near a word is to the tags' means.

    Teacher, with u its probabilities, c_k and c'_k the mean features of tag k in the source and in the target language, there
    by its own answers, as unit vectors:

        L_T = CE(y, u(x)) + align / 2 mean_k (h_k + h'_k)
        h_k = - log ( e^{c_k c'_k / t} / sum_j e^{c_k c'_j / t} ),   h'_k = - log ( e^{c'_k c_k / t} / sum_j e^{c'_k c_j / t} )

    Student on the target language, with s its probabilities, f its features, p_k means of these, and q what it's then told:

        w_k = softmax_k(-|f(x') - p_k| / heat),   q = argmax_k w_k u_k(x'),   p_k <- m p_k + (1 - m) mean f(x' : q = k)
        L_S = KL(u(x') || s(x')) + trust CE(q, s(x'))

    Shapes: x, x' [N, L, ...]; y, q [N, L]; u, s [N, L, K]; f [N, L, D]; p [K, D]. Words alone count, no padding.
    Departures: the abstract says what is done, and not how: KL for the soft labels, means of the batch and a symmetric contrast,
    the teacher's answers under the correction are the field's usual choices. The teacher begins trained on the
    source language; it has the first `share` of the budget, the student the rest.
    """

    card = Card(
        "ProKD: An Unsupervised Prototypical Knowledge Distillation Network for Zero-Resource "
        "Cross-Lingual Named Entity Recognition",
        "arXiv:2301.08855", 2023, slug="prokd", world="abroad", baseline={"align": 0.0, "trust": 0.0}, forwards=4,
        tags={"teacher", "game", "labels", "taps", "batch"}, tune={"align": (0.03, 0.1, 0.3, 1.0)}, tasks=("tag",),
    )  # fmt: skip

    align: float = span(0.1, 0, 100)  # weight of the contrast in the teacher
    t: float = span(0.1, 1e-2, 100)  # its temperature
    trust: float = span(0.5, 0, 100)  # weight of the student's corrected labels
    heat: float = span(1.0, 1e-2, 1e3)  # of the distances
    m: float = span(0.9, 0, 1)  # of the means' moving average
    share: float = span(0.4, 0, 0.9)  # of the budget, for the teacher
    at: str = at("penultimate")

    def players(self, world):
        return {"student": world.player, "teacher": world.player}

    def setup(self, world):
        student, teacher = world.student(), copy.deepcopy(world.teacher())
        s, f = tap(student, self.at, world.rows(0).x)
        return {"student": student, "teacher": teacher, "means": Moving(s.shape[-1], f.shape[-1])}

    def source(self, run):
        batch = run.rows()
        if run.progress < self.share:
            batch["source"] = run.rows("source")
        return batch

    def loss(self, run, batch):
        if "source" in batch:
            return {"teacher": self.lesson(run, batch, batch.source)}
        u = wide(run["teacher"](batch.x)).detach()[batch.mask]
        s, f = (wide(z)[batch.mask] for z in run.tap("student", self.at, batch.x))
        q = self.told(run, f, u)
        return {"student": {"soft": kl(u, s, 1.0), "own": self.trust * F.cross_entropy(s, q)}}

    def lesson(self, run, batch, home):
        u, f = run.tap("teacher", self.at, home.x)
        v, g = (wide(z)[batch.mask] for z in run.tap("teacher", self.at, batch.x))
        known = home.y >= 0
        here = F.one_hot(home.y[known], v.shape[-1]).to(g)
        there = F.one_hot(v.argmax(-1), v.shape[-1]).to(g)
        both = (here.sum(0) > 0) & (there.sum(0) > 0)
        c, d = unit(soft_means(wide(f)[known], here)[both]), unit(soft_means(g, there)[both])
        near = (infonce(c, d, self.t) + infonce(d, c, self.t)) / 2
        return {"hard": run.world.hard(u, home), "align": self.align * near}

    def told(self, run, f, u):
        """What the student is told of each word: the teacher's answer, corrected by the means; [M, D], [M, K] -> [M]"""
        return (run["means"].near(f, self.heat) * u.softmax(-1)).argmax(-1)

    def after_step(self, run, batch):
        if "source" not in batch:
            u, f = wide(run["teacher"](batch.x))[batch.mask], wide(run.tap("student", self.at, batch.x)[1])[batch.mask]
            run["means"].add(f, self.told(run, f, u), self.m)
