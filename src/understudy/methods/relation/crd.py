"""CRD: contrastive representation distillation (Tian, Krishnan and Isola, ICLR 2020)."""

import torch
from torch import nn

from understudy.core.card import Card
from understudy.core.method import Method, at, register, span
from understudy.core.taps import probe
from understudy.parts.contrast import nce
from understudy.parts.divergence import wide
from understudy.parts.memory import Bank, Others
from understudy.parts.project import pooled
from understudy.parts.relation import unit


@register
class CRD(Method):
    r"""Student and teacher are to agree about a row more than about any row of another class, in an embedding learnt for both.

        g = f W + b at unit length; h(g, m) = e^{g . m / t} / Z, m the other network's memory of a row, Z set by the first batch
        l(g) = -log h_0 / (h_0 + c) - sum over k of log c / (h_k + c),   c = K / M
        L = CE(y, s) + w (l(g_s) + l(g_u)),   afterwards m <- unit(momentum m + (1 - momentum) g) at the rows of the batch

    Index 0 is the row itself, 1..K are rows of other classes, M is the number of training rows.

    Shapes: f_s [N, D], f_u [N, D']; g [N, dim]; memories [M, dim]; h [N, 1+K].
    Departures: paper and code differ in Z (the paper has none), in an epsilon (1e-7 in both denominators) and in the second
    anchor; the code is followed. K is at most M, drawn with replacement (the authors: without, where there are enough). Rows
    whose label is hidden are neither anchors nor negatives.
    """

    card = Card(
        "Contrastive Representation Distillation", "arXiv:1910.10699", 2019, baseline="alone", forwards=4,
        tags={"teacher", "rows", "classes", "labels", "taps", "batch"}, tune={"w": (0.02, 0.1, 0.4, 0.8)},
    )  # fmt: skip

    w: float = span(0.8, 0, 1e3)  # weight of both anchors
    dim: int = span(128, 1, 4096)  # of the embedding
    negatives: int = span(16384, 1, 1_000_000)  # K, at most the number of training rows
    t: float = span(0.07, 1e-2, 100)  # temperature
    momentum: float = span(0.5, 0, 1)  # of the memories
    student_at: str = at("penultimate", "student")
    teacher_at: str = at("penultimate", "teacher")

    def setup(self, world):
        nets, x = super().setup(world), world.rows(0).x
        f_s, f_u = (pooled(probe(nets[k], a, x)) for k, a in (("student", self.student_at), ("teacher", self.teacher_at)))
        y = torch.full((world.size,), -1)
        for part in world.sweep():
            y[part.row] = part.y
        return nets | {
            "embed_s": nn.Linear(f_s.shape[-1], self.dim), "embed_u": nn.Linear(f_u.shape[-1], self.dim),
            "bank_s": Bank(world.size, self.dim), "bank_u": Bank(world.size, self.dim), "others": Others(y),
        }  # fmt: skip

    def loss(self, run, batch):
        s, f_s = run.tap("student", self.student_at, batch.x)
        _, f_u = run.tap("teacher", self.teacher_at, batch.x)
        use = run["others"].room(batch.y) > 0
        rows, y = batch.row[use], batch.y[use]
        seen = torch.cat([rows[:, None], run["others"].draw(y, min(self.negatives, run.world.size))], 1)
        terms = {"hard": run.world.hard(s, batch)}
        for side, other, f in (("s", "u", f_s), ("u", "s", f_u)):
            g = unit(run[f"embed_{side}"](pooled(f)))[use]
            batch[f"crd_{side}"] = g.detach()  # for the memory, once the step is made
            scores = wide(run[f"bank_{other}"].scores(g, seen, self.t))
            log_z = batch[f"crd_z_{other}"] = run[f"bank_{other}"].normaliser(scores)
            terms[f"contrast_{side}"] = self.w * nce(scores - log_z, (seen.shape[1] - 1) / run.world.size)
        batch["crd_rows"] = rows
        return terms

    def after_step(self, run, batch):
        if len(batch["crd_rows"]):
            for side in ("s", "u"):
                run[f"bank_{side}"].settle(batch[f"crd_z_{side}"])
                run[f"bank_{side}"].blend(batch["crd_rows"], batch[f"crd_{side}"], self.momentum)
