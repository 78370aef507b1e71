"""GeoDistill: geometry-guided self-distillation for cross-view localization (Tong, Xia, Alahi, He and Shi, ICCV 2025)."""

import math

import torch
import torch.nn.functional as F

from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.method import Method, choice, freeze, register, span
from understudy.parts.divergence import soft_cross_entropy, wide
from understudy.parts.ema import epoch_ema_


@register
class GeoDistill(Method):
    r"""Who sees a part of a panorama is to find the same place on the map as its own moving average, which sees all around.

        L = mean_k CE(softmax(P_k u / t_u), P_k s / t_s),  s = net(map, M x),  u = average(map, x)

    u, s are how alike each cell's surroundings are to the panorama x; M leaves a field of view in a random direction, the rest is
    dark; P_k takes means over 2^k by 2^k cells. The average answers more sharply, t_u < t_s. After an epoch, its weights are
    decay u + (1 - decay) s. Nobody says where a panorama was taken.

    Shapes: s, u [N, H H] cosines; x {map [N, C, H, H], ring [N, C, R, A], seen [N, A]}; M [N, A].
    Departures: the code correlates features of two resolutions, here the map of cosines is made coarser. North is known: the
    second network, which tells which way a panorama faces, is left out. The networks are the world's.
    """

    card = Card(
        "GeoDistill: Geometry-Guided Self-Distillation for Weakly Supervised Cross-View Localization", "arXiv:2507.10935", 2025,
        slug="geodistill", world="landmarks", baseline={"mask": "none"}, tags={"self", "average"}, forwards=2,
        tune={"sharp": (0.03, 0.06, 0.09, 0.15)}, tasks=("classify",),
    )  # fmt: skip

    mask: str = choice(
        "view", "patches", "none"
    )  # what stays of a panorama: one field of view, so many directions here and there, all
    least: float = span(120.0, 1, 360)  # degrees of a field of view
    most: float = span(180.0, 1, 360)
    sharp: float = span(0.09, 1e-3, 100)  # t_u, temperature of the average
    t: float = span(0.2, 1e-3, 100)  # t_s, of the student
    scales: int = span(2, 1, 4)  # k = 0 ... scales - 1
    decay: float = span(0.99, 0, 1)  # of the average, an epoch

    def setup(self, world):
        student = world.student()
        return {"student": student, "teacher": freeze(student)}

    def source(self, run):
        batch = run.rows()
        seen = batch.x["seen"]
        if self.mask == "none":
            return batch
        low, high = sorted((self.least, self.most))
        share = (low + (high - low) * torch.rand(len(seen), 1, device=seen.device, dtype=seen.dtype)) / 360
        left = arc(share, seen.shape[1]) if self.mask == "view" else torch.rand_like(seen) < share
        return Batch({**batch, "part": {**batch.x, "seen": seen * left}})

    def loss(self, run, batch):
        s = run["student"](batch.get("part", batch.x))
        u = run["teacher"](batch.x).detach()
        side, terms = math.isqrt(s.shape[-1]), []
        for k in range(self.scales):
            a, b = (F.avg_pool2d(wide(v).view(len(v), 1, side, side), min(2**k, side)).flatten(1) for v in (u, s))
            terms.append(soft_cross_entropy((a / self.sharp).softmax(-1), b / self.t))
        return {"place": sum(terms) / len(terms)}

    def after_step(self, run, batch):
        epoch_ema_(run["teacher"], run["student"], self.decay, run.step, run.world.epoch)


def arc(share, directions):
    """An unbroken part of a circle, of that share of it, beginning anywhere; at least one direction; [N, 1] -> [N, A] bool"""
    begin = torch.randint(directions, share.shape, device=share.device)
    place = (torch.arange(directions, device=share.device) - begin) % directions
    return place < (share * directions).round().clamp(min=1)
