"""Teacher-Reviewer-Student (Yun, Qi, Peng and Ma, 2025)."""

import torch
import torch.nn.functional as F
from torch import nn

from understudy.core.batch import Batch, each
from understudy.core.card import Card
from understudy.core.method import Method, at, freeze, register, span
from understudy.core.taps import probe
from understudy.parts.affine import carried, drawn, seen
from understudy.parts.augment import noisy, recoloured
from understudy.parts.divergence import wide
from understudy.parts.ema import ema_, epoch_ema_
from understudy.parts.joints import apart, heatmaps, keypoint_mix, peaks
from understudy.parts.schedule import sigmoid_ramp


class Levels(nn.ModuleList):
    """A head for each level of a network, whose answers are all as large; features [N, D_l, h_l, w_l] -> heatmaps [N, K, S, S]"""

    def __init__(self, widths, joints):
        super().__init__(nn.Conv2d(width, joints, 1) for width in widths)

    def forward(self, features, side):
        return [F.interpolate(head(f), (side, side), mode="bilinear") for head, f in zip(self, features, strict=True)]


@register
class TeacherReviewerStudent(Method):
    r"""Where labels are few a student learns heatmaps from its moving average, and from a reviewer who keeps older weights.

        L = sum_l D(s_l(x), H) + weight sum_l ( D(s_l(m), W u(v)) + review D(s_l(m), W r(v)) )
        u <- decay u + (1 - decay) s   after a step          r <- memory r + (1 - memory) u   after an epoch

    D is the squared distance of heatmaps over the joints that are known, or whose peak in the teacher's is above `sure`; H those
    of labelled joints; s_l answers from level l of the student, s_0 from its own head, and inner levels count `levels` each. v
    is a weak view of a picture; W carries heatmaps into a strong view of it, and m is that view after Keypoint-Mix: around each
    joint, with probability `mix`, a patch is blended with the patch around another joint of the same figure.

    Shapes: x, v, m [N, C, H, W]; s_l, u, r, H [N, K, S, S].
    Departures: written from the abstract and the outline, where the reviewer's rule isn't told: here it averages the teachers at
    the ends of epochs. The target of m is the figure's own heatmaps, unmixed. A filter by the peak's height, usual where
    heatmaps are taught, keeps the student from learning empty ones. The heads of inner levels serve learning only.
    """

    card = Card(
        "A New Teacher-Reviewer-Student Framework for Semi-supervised 2D Human Pose Estimation", "arXiv:2501.09565", 2025,
        slug="teacher-reviewer-student", world="sticks", baseline={"review": 0.0, "levels": 0.0, "mix": 0.0}, forwards=3,
        tags={"self", "average", "taps", "labels"}, tasks=("pose",), tune={"weight": (0.1, 0.3, 1.0, 3.0)},
    )  # fmt: skip

    weight: float = span(0.3, 0, 1e3)  # of what is learned without labels
    review: float = span(1.0, 0, 1e3)  # of the reviewer beside the teacher; 0 leaves it out
    levels: float = span(0.05, 0, 1e3)  # of the inner levels beside the student's own answer; 0 leaves them out
    mix: float = span(0.3, 0, 1)  # probability that a joint's patch is blended with another's
    patch: float = span(0.15, 0, 1)  # side of a patch, in sides of the picture
    sure: float = span(0.5, 0, 10)  # height of a peak that is believed
    ramp: float = span(0.2, 0, 1)  # share of the budget in which what is learned without labels gains its weight
    decay: float = span(0.97, 0, 1)  # of the teacher
    memory: float = span(0.5, 0, 1)  # of the reviewer, an epoch
    at: tuple[str, ...] = at(("bottom", "middle"), "student")  # inner levels

    def setup(self, world):
        student, batch = world.student(), world.rows(0)
        widths = [f.shape[1] for f in probe(student, self.at, batch.x)]
        heads = Levels(widths, batch.y["joints"].shape[1])
        return {"student": student, "teacher": freeze(student), "reviewer": freeze(student), "heads": heads}

    def source(self, run):
        """The strong view after Keypoint-Mix, and what teacher and reviewer say of the weak one, carried there."""
        batch = run.rows()
        weak = noisy(recoloured(batch.x, 0.1), 0.05)
        way = drawn(batch.x, 30.0, 0.25, 0.1)
        said = {name: run[name](weak) for name in ("teacher", "reviewer")}
        joints, height = peaks(said["teacher"])
        there = carried(joints, way)
        strong = noisy(recoloured(seen(batch.x, way), 0.3), 0.1)
        said = {name: seen(wide(heat), way, "zeros") for name, heat in said.items()}
        sure = (height > self.sure) & (there.abs() < 1).all(-1)
        return Batch({**batch, **said, "mixed": keypoint_mix(strong, there, self.mix, self.patch), "sure": sure})

    def loss(self, run, batch):
        known = batch.y["joints"].isfinite().all(-1)
        row = known.any(1)
        out, inner = run.tap("student", self.at, torch.cat([batch.x[row], batch.mixed]))
        levels = [(1.0, out), *((self.levels, level) for level in run["heads"](inner, out.shape[-1]))]
        n, y = int(row.sum()), each(batch.y, lambda t: t[row])
        true = heatmaps(y["joints"].to(wide(out)), out.shape[-1])
        taught = lambda heat: sum(share * apart(s[n:], heat, batch.sure) for share, s in levels)
        weight = self.weight * sigmoid_ramp(run.step, round(self.ramp * run.world.steps))
        return {
            "hard": run.world.hard(out[:n], Batch(x=batch.x[row], y=y)),
            "levels": sum(share * apart(s[:n], true, known[row]) for share, s in levels[1:]),
            "teacher": weight * taught(batch.teacher),
            "reviewer": weight * self.review * taught(batch.reviewer),
        }

    def after_step(self, run, batch):
        ema_(run["teacher"], run["student"], self.decay)
        epoch_ema_(run["reviewer"], run["teacher"], self.memory, run.step, run.world.epoch)
