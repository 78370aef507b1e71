"""Distiller: the choices of a distillation pipeline, one by one (He, Shi, Mueller, Zha, Li and Karypis, SustaiNLP 2021)."""

import torch

from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.errors import refuse
from understudy.core.method import Method, at, choice, register, span
from understudy.core.taps import probe
from understudy.parts.blocks import uniform
from understudy.parts.information import cka, mi_alpha
from understudy.parts.match import every
from understudy.parts.project import pooled, projector
from understudy.parts.relation import unit


@register
class Distiller(Method):
    r"""States inside are to tell as much as they can of the teacher's, on rows that are varied and mixed, beside what it
    answers.

        L = (1 - a) CE(y, s) + a t^2 KL(softmax(u/t) || softmax(s/t)) - w sum_m I(P_m h_s[m]; h_u[g(m)])

    I is the bound MI-alpha on mutual information with the critic f_ij = cos(P h_s of row i, h_u of row j) / tau, or linear CKA,
    or minus the mean squared error, the others' universal form. Pairs g are the last stages alone, or all of the student's,
    uniformly. Varied rows lose up to `drop` of their positions; mixed ones are b x + (1 - b) x' with both labels, b of a Beta.

    Shapes: s, u [N, C]; h [N, D] states, their mean over positions; y [N]. Departures: the paper searches over more choices
    (its augmentations rewrite text, its maps include EMD). Its critic and baseline q aren't pinned down in what we could read:
    cosine and 1. The states are a row's mean, not each token's.
    """

    card = Card(
        "Distiller: A Systematic Study of Model Distillation Methods in Natural Language Processing", "arXiv:2109.11105", 2021,
        world="phrases", baseline={"inside": "none"}, tags={"teacher", "taps", "batch"}, tune={"w": (0.1, 0.3, 1.0, 3.0)},
    )  # fmt: skip

    inside: str = choice("mi", "cka", "mse", "none")  # what the states are compared by
    layers: str = choice("last", "uniform")  # which stages meet
    drop: float = span(0.0, 0, 1)  # largest share of positions that a row loses
    mix: float = span(0.0, 0, 100)  # mixed rows' shares are drawn from Beta(mix, mix); 0 mixes none
    w: float = span(1.0, 0, 1e3)  # weight of the states
    alpha: float = span(0.9, 0, 1)  # of MI-alpha; 1 is InfoNCE
    tau: float = span(0.2, 1e-2, 100)  # of its critic
    a: float = span(0.9, 0, 1)  # weight of the teacher's answers
    t: float = span(1.0, 1e-2, 100)  # temperature
    student_at: str = at("stages", "student")
    teacher_at: str = at("stages", "teacher")

    def setup(self, world):
        nets, x = super().setup(world), world.rows(0).x
        if (self.drop or self.mix) and not (torch.is_tensor(x) and x.is_floating_point()):
            raise refuse("rows", type(x).__name__, "numbers, which can be dropped and mixed", "set drop=0 and mix=0")
        s, u = probe(nets["student"], self.student_at, x), probe(nets["teacher"], self.teacher_at, x)
        return nets | {"project": torch.nn.ModuleList(projector(pooled(h), pooled(g), always=True) for h, g in self._pairs(s, u))}

    def _pairs(self, s, u):
        s, u = every(s), every(u)
        return [(s[-1], u[-1])] if self.layers == "last" else [(h, u[j]) for h, j in zip(s, uniform(len(s), len(u)), strict=True)]

    def source(self, run):
        batch = run.rows()
        x, new = batch.x, Batch(batch)
        if self.drop:
            rate = self.drop * torch.rand(len(x), 1, device=x.device, dtype=x.dtype)
            keep = torch.rand(x.shape[:2] if x.dim() == 3 else (len(x), x[0].numel()), device=x.device, dtype=x.dtype) >= rate
            x = x * (keep[..., None] if x.dim() == 3 else keep.view_as(x))
        if self.mix:
            beta = torch.distributions.Beta(*x.new_full((2,), self.mix))
            share, other = beta.sample(), torch.randperm(len(x), device=x.device)
            x = share * x + (1 - share) * x[other]
            new |= {"share": share, "other": batch.y[other]}
        return Batch({**new, "x": x})

    def loss(self, run, batch):
        s, h_s = run.tap("student", self.student_at, batch.x)
        u, h_u = run.tap("teacher", self.teacher_at, batch.x)
        terms = run.world.both(s, u, batch, 1 - self.a, self.a, self.t)
        if self.mix:
            swapped = (1 - self.a) * run.world.hard(s, Batch({**batch, "y": batch.other}))
            terms = {**terms, "hard": batch.share * terms["hard"] + (1 - batch.share) * swapped}
        if self.inside != "none":
            pairs = zip(run["project"], self._pairs(h_s, h_u), strict=True)
            terms = {**terms, "inside": self.w * sum(self._far(p(pooled(h)), pooled(g)) for p, (h, g) in pairs)}
        return terms

    def _far(self, h, g):
        """Minus what the two tell of one another; [N, D], [N, D] -> []"""
        if self.inside == "mse":
            return (h - g).square().mean()
        return -cka(h, g) if self.inside == "cka" else -mi_alpha(unit(h) @ unit(g).T / self.tau, self.alpha)
