"""DINO (Caron, Touvron, Misra, Jegou, Mairal, Bojanowski and Joulin, ICCV 2021)."""

import torch

from understudy.core.card import Card
from understudy.core.method import Method, freeze, register, span
from understudy.core.taps import probe
from understudy.parts.crops import glimpse
from understudy.parts.crossviews import across
from understudy.parts.ema import ema_
from understudy.parts.project import pooled
from understudy.parts.projector import Directions
from understudy.parts.schedule import risen
from understudy.parts.sharpen import Centre


@register
class DINO(Method):
    r"""From small parts of a row a student tells what its own average says of large ones, kept from collapse by centring alone.

        L = mean over large g, any view v != g of -sum_k p_k(g) log softmax_k(s(v) / t)
        p(g) = softmax((u(g) - c) / sharp),   c <- m c + (1 - m) mean u(g)

    s, u are the student and its average, with a head each; after step k of K, u goes a share 1 - tau of the way to s,
    tau = 1 - (1 - decay) (cos(pi k / K) + 1) / 2.

    Shapes: two large g and `small` small crops v of x [N, C, H, W] in other light; s, u [N, dim] cosines; c [dim].
    Departures: crops, light and noise, without flips, blur, hues and solarisation. The last layer learns from the first step on,
    `sharp` isn't warmed up, as in the authors' default, and weight decay doesn't rise. The head has batch normalisation, their
    code's option for convolutional networks.
    """

    card = Card(
        "Emerging Properties in Self-Supervised Vision Transformers", "arXiv:2104.14294", 2021, world="gallery",
        baseline="byol", tags={"self", "average", "batch"}, forwards=3, tune={"sharp": (0.02, 0.04, 0.07, 0.1)},
        tasks=("classify",),
    )  # fmt: skip

    t: float = span(0.1, 1e-2, 100)  # the student's temperature
    sharp: float = span(0.04, 1e-2, 100)  # the average's
    m: float = span(0.9, 0, 1)  # of the centre
    decay: float = span(0.97, 0, 1)  # of the average at first
    small: int = span(2, 1, 32)  # small crops
    size: float = span(0.75, 0.05, 1)  # of a small crop's side, as a share of a picture's
    split: float = span(0.5, 0.01, 1)  # large crops are of more of the area, small ones of less
    least: float = span(0.15, 0.01, 1)  # of the area in a small crop
    hidden: int = span(128, 1, 65536)
    neck: int = span(32, 1, 4096)
    dim: int = span(128, 2, 10**6)  # of what is told

    def setup(self, world):
        student, centre = world.student(), Centre(self.dim, self.m)
        head = Directions(pooled(probe(student, "", world.rows(0).x)).shape[1], self.hidden, self.neck, self.dim)
        return {"student": student, "teacher": freeze(student), "head": head, "target": freeze(head), "centre": centre}

    def source(self, run):
        batch = run.rows()
        batch["large"] = torch.cat([glimpse(batch.x, self.split, 1.0) for _ in range(2)])
        batch["small"] = torch.cat([glimpse(batch.x, self.least, self.split, self.size) for _ in range(self.small)])
        batch["z"] = run["target"](pooled(run["teacher"](batch.large)))
        return batch

    def loss(self, run, batch):
        s = torch.cat([run["head"](pooled(run["student"](v))) for v in (batch.large, batch.small)])
        p = run["centre"](batch.z, self.sharp)
        views = lambda a: a.view(-1, len(batch.x), self.dim)
        return {"distil": across(views(p), views(s), self.t)}

    def after_step(self, run, batch):
        decay = risen(self.decay, run.step, run.world.steps)
        ema_(run["teacher"], run["student"], decay)
        ema_(run["target"], run["head"], decay)
        run["centre"].add(batch.z)
