"""POST: prior-guided self-training (Raychaudhuri, Ta, Dutta, Lal and Roy-Chowdhury, ICCV 2023)."""

import torch

from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.method import Method, at, freeze, register, span
from understudy.parts.affine import drawn, inverse, seen
from understudy.parts.augment import recoloured
from understudy.parts.barlow import redundancy
from understudy.parts.divergence import wide
from understudy.parts.ema import ema_
from understudy.parts.joints import apart, expected, heatmaps, keypoint_cut, peaks
from understudy.parts.project import pooled


@register
class PostPose(Method):
    r"""A pose network finds its way in a new domain without the pictures it learned from: led by its moving average, by features
    that two views share, and by a prior of what poses there are.

        L = D(W^-1 s(W x), H(V^-1 u(V x)); top) + features sum_i ( (1 - C_{ii})^2 + 0.005 sum_{j != i} C_{ij}^2 ) / d
            + prior mean f(E(W^-1 s(W x)))

    V and W are two views that turn, zoom and move, and what is found in them is carried back; in W a joint that the teacher is
    sure of, in the picture's share `cut`, is covered by another part of the picture. H puts a clean bump where the teacher's
    peak is; `top` are the joints whose peaks are above the batch's quantile `drop`. C correlates d pooled features of student
    and teacher over the batch. E is the expected place of each joint, f a field that tells how far directions of bones are
    from any that a body takes. Both start from the source's network; f counts after the first part of the budget.

    Shapes: x [N, C, H, W]; s, u [N, K, S, S] heatmaps; C [d, d]; f [N, K, 2] -> [N].
    Departures: as in the code, but: f judges poses carried back into the picture's own frame, not in the turned one. Shear and
    blur are left out. The code's weights, 1e-3 times 1e-4 and 1e-5, belong to its sums and its heatmaps; those here are ours.
    Channels behind the joints, such as a mask, are left alone.
    """

    card = Card(
        "Prior-guided Source-free Domain Adaptation for Human Pose Estimation", "arXiv:2308.13954", 2023, slug="post-pose",
        world="dusk", baseline={"prior": 0.0, "features": 0.0}, tags={"self", "average", "batch", "taps"}, tasks=("pose",),
        tune={"drop": (0.3, 0.5, 0.7, 0.85)},
    )  # fmt: skip

    prior: float = span(1.0, 0, 1e3)  # weight of plausible poses; 0 leaves them out
    features: float = span(0.1, 0, 1e3)  # of features that correlate
    drop: float = span(0.5, 0, 1)  # share of a batch's joints that isn't believed
    cut: float = span(0.5, 0, 1)  # share of the pictures in which a joint is covered
    sure: float = span(0.5, 0, 10)  # height of a peak that may be; 0.9 in the code
    patch: float = span(0.1, 0, 1)  # side of what covers it, in sides of the picture
    degrees: float = span(45.0, 0, 180)  # a picture is turned
    zoom: float = span(0.3, 0, 0.9)
    shift: float = span(0.05, 0, 1)  # in sides of the picture
    jitter: float = span(0.25, 0, 1)  # of contrast and brightness
    wait: float = span(0.4, 0, 1)  # share of the budget before f counts, and in which features count half
    decay: float = span(0.97, 0, 1)  # of the average
    at: str = at("bottom", "student", "teacher")  # features

    def setup(self, world):
        student = world.student()
        return {"student": student, "teacher": freeze(student), "prior": freeze(world.prior())}

    def source(self, run):
        """What the teacher says and feels in its view, carried back; the student's view, in which a joint may be covered."""
        rows = run.rows()
        x, way, other = rows.x, *(drawn(rows.x, self.degrees, self.zoom, self.shift) for _ in range(2))
        heat, felt = self.back(run, "teacher", recoloured(seen(x, other), self.jitter), other)
        joints, height = peaks(heat)
        top = height > height.flatten().quantile(self.drop)
        able = height >= self.sure
        one = (able * torch.rand_like(height)).argmax(1)
        where = able.any(1) & (torch.rand_like(height[:, 0]) < self.cut)
        x = keypoint_cut(x, joints[torch.arange(len(x), device=x.device), one], where, self.patch)
        clean = heatmaps(joints, heat.shape[-1])
        return Batch(
            {**rows, "seen": recoloured(seen(x, way), self.jitter), "way": way, "clean": clean, "top": top, "felt": felt}
        )

    def loss(self, run, batch):
        heat, felt = self.back(run, "student", batch.seen, batch.way)
        early = run.progress < self.wait
        return {
            "pseudo": apart(heat, batch.clean, batch.top),
            "features": (0.5 if early else 1.0) * self.features * redundancy(felt, batch.felt),
            "prior": (0.0 if early else self.prior) * run["prior"](expected(heat)).mean(),
        }

    def back(self, run, name, x, way):
        """Heatmaps and pooled features of a view, carried back to the picture's own frame; -> [N, K, S, S], [N, d]"""
        out, f = run.tap(name, self.at, x)
        k, way = len(run["prior"].parents) + 1, inverse(way)
        return seen(wide(out[:, :k]), way, "zeros"), pooled(seen(wide(f), way, "zeros"))

    def after_step(self, run, batch):
        ema_(run["teacher"], run["student"], self.decay)
