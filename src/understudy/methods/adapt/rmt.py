"""RMT: robust mean teacher (Doebler, Marsden and Yang, CVPR 2023)."""

import torch
from torch import nn

from understudy.core.card import Card
from understudy.core.method import Method, at, freeze, register, span
from understudy.core.taps import probe
from understudy.core.world import Player
from understudy.parts.augment import moved, noisy, recoloured
from understudy.parts.contrast import among_views
from understudy.parts.divergence import symmetric_cross_entropy
from understudy.parts.ema import ema_
from understudy.parts.project import pooled
from understudy.parts.prototypes import Prototypes
from understudy.parts.schedule import ramp
from understudy.parts.statistics import batch_statistics_
from understudy.parts.uncertainty import Both


@register
class RMT(Method):
    r"""A trained classifier goes on learning from the unlabelled stream it is used on, led by its own moving average.

    With u(x) the average's logits, s(x) the student's, x~ an augmented x, f its features, c(x) the source prototype that f(x)
    points to, P a projector,

        SCE(u, s) = (1 - r) CE(u, s) + r CE(s, u)
        L = self (SCE(u(x), s(x)) + SCE(u(x), s(x~))) / 2 + contrast L_con(P c(x), P f(x), P f(x~)) + replay CE(y', s(x'))

    where L_con draws the three views of a row together and those of other rows apart; (x', y') are labelled source rows. After a
    step u's weights go a share 1 - decay of the way to s's. The answer about x is u(x) + s(x), given before x is learned from.
    Batch normalisation takes its statistics from the batch. In the world's phase 0, the source domain, L = SCE(u(x'), s(x'))
    warms both up while the learning rate rises.

    Shapes: s, u [N, C] logits; f, c [N, D]; P f [N, dim]; x [N, channels, H, W].
    Departures: SCE is halved as in the authors' code (r = 1/2). Augmentations are contrast, brightness, an affine map and noise:
    no flip, gamma, hue or blur, which digits don't survive or don't have.
    """

    card = Card(
        "Robust Mean Teacher for Continual and Gradual Test-Time Adaptation", "arXiv:2211.13081", 2022, slug="rmt",
        world="stream", baseline={"reverse": 0.0, "contrast": 0.0}, forwards=6, tasks=("classify",),
        tags={"self", "average", "stream", "classes", "labels", "taps", "batch"}, tune={"decay": (0.9, 0.97, 0.99, 0.999)},
    )  # fmt: skip

    consistency: float = span(1.0, 0, 1e3)  # weight of the teacher
    reverse: float = span(0.5, 0, 1)  # r, share of the reverse cross-entropy; 0 is the usual one
    contrast: float = span(1.0, 0, 1e3)  # weight of the three views
    t: float = span(0.1, 1e-2, 100)  # temperature of the contrast
    dim: int = span(128, 1, 4096)  # of the projector
    replay: float = span(1.0, 0, 1e3)  # weight of the source rows; 0 is the source-free variant
    decay: float = span(0.999, 0, 1)  # of the moving average
    jitter: float = span(0.3, 0, 1)  # of contrast and brightness
    degrees: float = span(15.0, 0, 180)  # an augmented picture is turned
    shift: float = span(0.0625, 0, 1)  # and shifted, a share of the side
    zoom: float = span(0.1, 0, 0.9)
    noise: float = span(0.005, 0, 10)
    at: str = at("penultimate", "student")

    def players(self, world):
        how, warmup = world.player, sum(world.phase(step) == 0 for step in range(world.steps))
        rise = lambda step: ramp(step, warmup) * (how.schedule(step) if how.schedule else 1.0)
        return {"student": Player(how.optimiser, rise, how.clip)}

    def setup(self, world):
        student = batch_statistics_(world.student())
        seen = [(pooled(probe(student, self.at, part.x)), part.y) for part in world.sweep()]
        f, y = (torch.cat(parts) for parts in zip(*seen, strict=True))
        projector = nn.Sequential(nn.Linear(f.shape[1], self.dim), nn.ReLU(), nn.Linear(self.dim, self.dim))
        return {"student": student, "teacher": freeze(student), "projector": projector, "prototypes": Prototypes(f, y)}

    def source(self, run):
        batch = run.rows()
        batch["view"] = noisy(moved(recoloured(batch.x, self.jitter), self.degrees, self.shift, self.zoom), self.noise)
        batch["source"] = run.rows("source")
        return batch

    def loss(self, run, batch):
        if run.world.phase(run.step) == 0:
            u, s = (run[name](batch.source.x) for name in ("teacher", "student"))
            return {"consistency": symmetric_cross_entropy(u, s, self.reverse)}
        u, (s, f), (s_view, f_view) = run["teacher"](batch.x), *(run.tap("student", self.at, x) for x in (batch.x, batch.view))
        views = torch.stack([run["prototypes"].nearest(pooled(f)), pooled(f), pooled(f_view)])
        same = (symmetric_cross_entropy(u, s, self.reverse) + symmetric_cross_entropy(u, s_view, self.reverse)) / 2
        return {
            "consistency": self.consistency * same,
            "contrast": self.contrast * among_views(run["projector"](views), self.t),
            "hard": self.replay * run.world.hard(run["student"](batch.source.x), batch.source),
        }

    def after_step(self, run, batch):
        ema_(run["teacher"], run["student"], self.decay)

    def result(self, run):
        return Both(run.nets["student"], run.nets["teacher"])
