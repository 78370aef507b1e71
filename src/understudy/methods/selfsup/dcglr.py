"""DCGLR: distillation with contrast (Fu, Gao, Zhang, Li, Qiao and Wang, 2022)."""

import torch

from understudy.core.card import Card
from understudy.core.method import Method, freeze, register, span
from understudy.core.taps import probe
from understudy.parts.contrast import infonce
from understudy.parts.crossviews import across
from understudy.parts.divergence import wide
from understudy.parts.ema import ema_
from understudy.parts.project import pooled
from understudy.parts.projector import Directions, mlp
from understudy.parts.relation import unit
from understudy.parts.schedule import risen
from understudy.parts.sharpen import Centre
from understudy.parts.sightings import near, shaken


@register
class DCGLR(Method):
    r"""From a part of a cloud of points a student tells its average's answer about the whole, and whose part it is among others.

        L = distil mean_{g, v != g} CE(p(g), softmax(s(v) / t)) + contrast mean_{i, g, g'} -log q_i
        q = softmax_j(z_i(g) . z'_j(g') / tau)
        p(g) = softmax((u(g) - c) / sharp),   c <- m c + (1 - m) mean u(g)

    g, g' are large parts of one cloud, v any part; s and u what student and average say, z and z' their unit projections, held
    against those of the other clouds i, j of the batch. After step k of K the average goes a share 1 - r of the way to the
    student, r = 1 - (1 - decay) (cos(pi k / K) + 1) / 2.

    Shapes: x [N, P, 3] points; g two of [N, points, 3], v small ones as well, of `few` points; s, u [N, dim]; z [N, width].
    Departures: the abstract is silent on weights: both are 1. Negatives are the batch's own rows. Any encoder of points will do;
    the paper's transformer isn't written here, the world's is a PointNet.
    """

    card = Card(
        "Distillation with Contrast is All You Need for Self-Supervised Point Cloud Representation Learning", "arXiv:2202.04241",
        2022, slug="dcglr", world="clouds", baseline={"contrast": 0.0}, tags={"self", "average", "batch"}, forwards=3,
        tune={"sharp": (0.02, 0.04, 0.07, 0.1)}, tasks=("classify",),
    )  # fmt: skip

    distil: float = span(1.0, 0, 1e3)  # weight of telling what the average says
    contrast: float = span(1.0, 0, 1e3)  # weight of telling clouds apart; 0 is DINO on points
    t: float = span(0.1, 1e-2, 100)  # the student's temperature
    sharp: float = span(0.04, 1e-2, 100)  # the average's
    tau: float = span(0.1, 1e-2, 100)  # of the contrast
    m: float = span(0.9, 0, 1)  # of the centre
    decay: float = span(0.97, 0, 1)  # of the average at first
    small: int = span(2, 1, 32)  # small parts
    split: float = span(0.6, 0.01, 1)  # large parts have more of the points, small ones less
    least: float = span(0.2, 0.01, 1)
    points: int = span(48, 1, 65536)  # of a large part
    few: int = span(24, 1, 65536)  # of a small one
    degrees: float = span(15.0, 0, 180)
    stretch: float = span(0.2, 0, 0.9)
    noise: float = span(0.02, 0, 10)
    hidden: int = span(128, 1, 65536)
    width: int = span(32, 1, 4096)  # of projections
    dim: int = span(128, 2, 10**6)  # of what is told

    def setup(self, world):
        student = world.student()
        d = pooled(probe(student, "", world.rows(0).x)).shape[1]
        head, project = Directions(d, self.hidden, self.width, self.dim), mlp(d, self.hidden, self.width)
        return {"student": student, "teacher": freeze(student), "head": head, "target": freeze(head), "project": project,
                "target_project": freeze(project), "centre": Centre(self.dim, self.m)}  # fmt: skip

    def source(self, run):
        batch = run.rows()
        part = lambda least, most, points: shaken(near(batch.x, least, most, points), self.degrees, self.stretch, self.noise)
        batch["large"] = torch.cat([part(self.split, 1.0, self.points) for _ in range(2)])
        batch["small"] = torch.cat([part(self.least, self.split, self.few) for _ in range(self.small)])
        f = pooled(run["teacher"](batch.large))
        batch["u"], batch["z"] = run["target"](f), unit(run["target_project"](f))
        return batch

    def loss(self, run, batch):
        views = lambda a: a.view(-1, len(batch.x), a.shape[-1])
        f = [pooled(run["student"](v)) for v in (batch.large, batch.small)]
        said, z = torch.cat([run["head"](v) for v in f]), views(unit(wide(run["project"](f[0]))))
        other = views(batch.z).flip(0)  # the average's of the other large part
        return {
            "distil": self.distil * across(views(run["centre"](batch.u, self.sharp)), views(said), self.t),
            "contrast": self.contrast * sum(infonce(a, b.to(a), self.tau) for a, b in zip(z, other, strict=True)) / 2,
        }

    def after_step(self, run, batch):
        decay = risen(self.decay, run.step, run.world.steps)
        for mine, its_own in (("teacher", "student"), ("target", "head"), ("target_project", "project")):
            ema_(run[mine], run[its_own], decay)
        run["centre"].add(batch.u)
