"""Stable Mean Teacher (Kumar, Mitra and Rawat, 2024)."""

import torch
from torch import nn

from understudy.core.card import Card
from understudy.core.method import Method, freeze, register, span
from understudy.parts.dice import segmentation
from understudy.parts.divergence import wide
from understudy.parts.ema import ema_, warm
from understudy.parts.poses import strongly, weakly
from understudy.parts.schedule import sigmoid_ramp


@register
class StableMeanTeacher(Method):
    r"""A second network learns from labelled clips to mend the student's maps, and its average mends the teacher's for unlabelled
    ones; the student follows both, and how they change from frame to frame.

        L = hard + recovery(r(v, m_s), y) + w(t) consistency (F(m_s, m_u) + recover F(m_s, r_u(v', m_u)))
        F(a, b) = mean (a - b)^2 + dop mean (D a - D b)^2,   (D a)_f = a_{f+1} - a_f

    m_s is what the student says of a strong view v, m_u what its average u says of a weak one v': the probability of each pixel
    that it isn't background. r takes the clip and such a map, through which no gradient flows, and knows no classes; r_u is its
    average. recovery is (Dice + cross-entropy) / 2.

    Shapes: v [N, C, T, H, W]; s, u [N, K, T, H, W] logits, class 0 is background; m, r [N, T, H, W]; y likewise, -1 hidden.
    Departures: action and place are one map of classes, where the paper has a classifier beside a map for one actor; hard is the
    task's own loss of it. The recovery network has three layers, not a U-Net's. Both averages answer in evaluation mode, and the
    teacher is the result. Views are those of `parts.poses` for rows of numbers, which move nothing.
    """

    card = Card(
        "Stable Mean Teacher for Semi-supervised Video Action Detection", "arXiv:2412.07072", 2024, slug="stable-mean-teacher",
        world="clips-masks", baseline={"recover": 0.0, "dop": 0.0}, forwards=2,
        tags={"self", "average"}, tune={"consistency": (0.3, 1.0, 3.0, 10.0)}, tasks=("segment",),
    )  # fmt: skip

    consistency: float = span(1.0, 0, 1e4)  # weight of the teacher's maps
    recover: float = span(1.0, 0, 100)  # of the mended ones, in units of that
    dop: float = span(1.0, 0, 100)  # of differences from frame to frame, likewise
    decay: float = span(0.97, 0, 1)  # of both averages, when they are warm
    ramp: float = span(0.4, 0, 1)  # share of the budget in which w rises
    width: int = span(6, 1, 512)  # of the recovery network

    def setup(self, world):
        student, channels = world.student(), world.rows(0).x.shape[1]
        layer = lambda a, b: nn.Conv3d(a, b, 3, padding=1)
        first, second, last = layer(channels + 1, self.width), layer(self.width, self.width), layer(self.width, 2)
        mend = nn.Sequential(first, nn.LeakyReLU(0.1), second, nn.LeakyReLU(0.1), last)
        return {"student": student, "teacher": freeze(student), "recovery": mend, "recovery_teacher": freeze(mend)}

    def loss(self, run, batch):
        v, w = strongly(batch.x), weakly(batch.x)
        s = run["student"](v)
        m = somewhere(s)
        mended = run["recovery"](torch.cat([v, m.detach()[:, None].to(v)], 1))
        with torch.no_grad():
            u = somewhere(run["teacher"](w))
            r = somewhere(run["recovery_teacher"](torch.cat([w, u[:, None].to(w)], 1)))
        away = lambda a, b: (a - b).square().mean() + self.dop * (a.diff(dim=1) - b.diff(dim=1)).square().mean()
        weight = self.consistency * sigmoid_ramp(run.step, round(self.ramp * run.world.steps))
        return {
            "hard": run.world.hard(s, batch) + segmentation(mended, batch.y.clamp(max=1), batch.y >= 0),
            "raw": weight * away(m, u),
            "mended": weight * self.recover * away(m, r),
        }

    def after_step(self, run, batch):
        for average, net in (("teacher", "student"), ("recovery_teacher", "recovery")):
            ema_(run[average], run[net], warm(self.decay, run.step, 2))

    def result(self, run):
        return run.nets["teacher"]


def somewhere(logits):
    """The probability of each pixel that it isn't background; [N, K, ...] -> [N, ...]"""
    return 1 - wide(logits).softmax(1)[:, 0]
