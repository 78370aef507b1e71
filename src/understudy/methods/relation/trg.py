"""TRG: knowledge distillation via token-level relationship graph (Zhang, Liu and He, 2023)."""

import torch

from understudy.core.card import Card
from understudy.core.method import Method, at, register, span
from understudy.core.taps import probe
from understudy.parts.contrast import infonce
from understudy.parts.divergence import kl, wide
from understudy.parts.project import projector
from understudy.parts.relation import level, tokens, unit


@register
class TRG(Method):
    r"""Tokens drawn from all over the batch form a graph, and the student is to rebuild the teacher's, inside an image as well.

        e_ij = cos(f_i, f_j) / t     J(i) = the k tokens next to i in the teacher's graph
        local   = mean over nodes i of KL(softmax_{J(i)} e^u_i || softmax_{J(i)} e^s_i)
        global  = mean over nodes i of -log softmax_j (cos(r(f^s_i), f^u_j) / t) at j = i
        context = mean over images and their tokens i of KL(softmax e^u_i || softmax e^s_i), over the tokens of the same image
        L = (1 - a) CE(y, s) + a kd_t^2 KL(softmax(u/kd_t) || softmax(s/kd_t)) + w (local + global + context)

    Shapes: f_s [N, C, H, W] or [N, L, D], f_u likewise, pooled to the coarser resolution; r a learnt projection; M nodes.
    Departures: written from the paper's description, without code to check against: the weights (one for three terms), the
    temperatures, the number of nodes and of neighbours are this file's own.
    """

    card = Card(
        "Knowledge Distillation via Token-level Relationship Graph", "arXiv:2306.12442", 2023, slug="trg", baseline="kd",
        tags={"teacher", "rows", "taps", "batch"}, forwards=3, tune={"w": (0.1, 0.3, 1.0, 3.0)},
    )  # fmt: skip

    w: float = span(0.3, 0, 1e4)  # weight of the graph
    a: float = span(0.9, 0, 1)  # weight of the teacher's answers
    kd_t: float = span(4.0, 1e-2, 100)  # temperature of the answers
    t: float = span(0.1, 1e-2, 100)  # temperature of similarities
    nodes: int = span(256, 2, 65536)  # tokens drawn from the batch, M
    neighbours: int = span(8, 1, 4096)  # k
    student_at: str = at("stage:-1", "student")
    teacher_at: str = at("stage:-1", "teacher")

    def setup(self, world):
        nets, x = super().setup(world), world.rows(0).x
        f_s, f_u = (tokens(probe(nets[k], a, x))[:, 0] for k, a in (("student", self.student_at), ("teacher", self.teacher_at)))
        return nets | {"projector": projector(f_s, f_u, always=True)}

    def loss(self, run, batch):
        s, f_s = run.tap("student", self.student_at, batch.x)
        u, f_u = run.tap("teacher", self.teacher_at, batch.x)
        f_s, f_u = map(tokens, level(f_s, f_u))
        drawn = torch.randperm(f_s.shape[0] * f_s.shape[1], device=f_s.device)[: self.nodes]
        n_s, n_u = f_s.flatten(0, 1)[drawn], f_u.flatten(0, 1)[drawn]
        return {
            "hard": (1 - self.a) * run.world.hard(s, batch),
            "soft": self.a * run.world.soft(s, u, self.kd_t),
            "local": self.w * self.local(n_s, n_u),
            "global": self.w * infonce(unit(run["projector"](n_s)), unit(n_u), self.t),
            "context": self.w * self.context(f_s, f_u),
        }

    def edges(self, f):
        f = unit(f)
        return wide(f @ f.mT) / self.t

    def local(self, n_s, n_u):
        e_s, e_u = self.edges(n_s), self.edges(n_u)
        itself = torch.eye(len(e_u), dtype=torch.bool, device=e_u.device)
        near = e_u.masked_fill(itself, -torch.inf).topk(min(self.neighbours, len(e_u) - 1)).indices
        return kl(e_u.gather(1, near), e_s.gather(1, near)) if near.numel() else 0 * e_s.sum()

    def context(self, f_s, f_u):
        return kl(self.edges(f_u).flatten(0, 1), self.edges(f_s).flatten(0, 1))
