"""EfficientAD: a student that fails to predict what it never saw (Batzner, Heckler and Konig, WACV 2024)."""

import copy

import torch
from torch import nn

from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.errors import refuse
from understudy.core.method import Method, freeze, register, span
from understudy.parts.anomaly import Autoencoder, Standard, difference, hardest, normalised


class Detector(nn.Module):
    """Picture -> how anomalous, the largest value of its map; [N, ...] -> [N]"""

    def __init__(self, teacher, student, autoencoder, share, quantiles):
        super().__init__()
        self.teacher, self.student, self.autoencoder, self.share = teacher, student, autoencoder, share
        self.register_buffer("quantiles", quantiles)

    def both(self, x):
        """Local and global differences; [N, ...] -> 2 x [N, H, W]"""
        t, s, a = self.teacher(x), self.student(x), self.autoencoder(x)
        local, whole = s.split(t.shape[1], 1)
        return difference(t, local), difference(a, whole)

    def maps(self, x):
        """Where it is anomalous; [N, ...] -> [N, H, W]"""
        local, whole = (normalised(m, *q) for m, q in zip(self.both(x), self.quantiles, strict=True))
        return (1 - self.share) * local + self.share * whole

    def forward(self, x):
        return self.maps(x).flatten(1).amax(1)


@register
class EfficientAD(Method):
    r"""A student learns a teacher's patch features and an autoencoder's on normal rows only: where it fails there is an anomaly.

    With t the teacher's channels, standardised over the training rows, s the student's first half and s' its second, a the
    autoencoder's,

        L = mean of those (t - s)^2 at or above their q-quantile + penalty mean s(other)^2
            + 2 share (mean (t~ - a~)^2 + mean (a~ - s'~)^2)
        score = max over places of (1 - share) n((t - s)^2) + share n((a - s')^2)

    where ~ asks of a row in another light, and n is linear, 0 at the `low`-quantile of the validation rows' values and 0.1 at the
    `high` one. Teacher and student read patches; only the autoencoder, which draws from a code, sees the whole.

    Shapes: t, s, s', a [N, C, H, W]; other: unrelated rows [N, ...]; score [N].
    Departures: `share` (0.5 as published, a factor of 1) also weighs the autoencoder's losses, so that 0 leaves it out; the
    autoencoder and its code have the size of the world's pictures, not of 256 x 256; light is brightness or contrast, since grey
    pictures have no saturation; q is of the whole batch's differences, where the paper's batch is one picture; no penalty where
    rows bring no `other`; n's quantiles are those of `calibrate` batches; maps keep their size, where the paper enlarges them to
    the picture's. The learning rate (published: 1e-4 for 70,000 steps) is the world's.
    """

    card = Card(
        "EfficientAD: Accurate Visual Anomaly Detection at Millisecond-Level Latencies", "arXiv:2303.14535", 2023,
        slug="efficientad", world="textures", baseline={"q": 0.0, "penalty": 0.0, "share": 0.0}, tags={"teacher"},
        tasks=("anomaly",), forwards=6, tune={"q": (0.9, 0.99, 0.999)},
    )  # fmt: skip

    q: float = span(0.999, 0, 1)  # hard features: what share of the differences is left out
    penalty: float = span(1.0, 0, 1e3)  # weight of what the student says of unrelated rows
    share: float = span(0.5, 0, 1)  # of the autoencoder's map
    low: float = span(0.9, 0, 1)  # quantiles of normal maps that become 0 and 0.1
    high: float = span(0.995, 0, 1)
    light: float = span(0.2, 0, 1)  # largest relative change of brightness or contrast
    calibrate: int = span(8, 1, 10000)  # batches of validation rows

    def setup(self, world):
        student, teacher = world.student(), freeze(world.teacher())
        with torch.no_grad():
            x = world.rows(0).x
            maps, said = torch.cat([teacher(b.x) for b in world.sweep()]), student(x)
        if said.shape[1:] != (2 * maps.shape[1], *maps.shape[2:]):
            raise refuse("student", list(said.shape[1:]), f"twice the teacher's channels at its places, {list(maps.shape[1:])}")
        deviation, mean = torch.std_mean(maps, (0, 2, 3), correction=0)
        autoencoder = Autoencoder(x, *maps.shape[1:])
        return {"student": student, "teacher": Standard(teacher, mean, deviation), "autoencoder": autoencoder}

    def source(self, run):
        batch = run.rows()
        factor = 1 + self.light * (2 * torch.rand(len(batch.x), 1, 1, 1, device=run.device) - 1)
        kept = batch.x.mean((1, 2, 3), keepdim=True) * (torch.rand_like(factor) < 0.5)  # 0: brightness; the mean: contrast
        return Batch(batch | {"lit": kept + factor * (batch.x - kept)})

    def loss(self, run, batch):
        t, s = run["teacher"](batch.x), run["student"](batch.x)[:, : len(run["teacher"].mean)]
        terms = {"imitate": hardest((t - s).square(), self.q)}
        if self.penalty and "other" in batch:
            terms["penalty"] = self.penalty * difference(run["student"](batch.other)[:, : t.shape[1]], torch.zeros_like(t)).mean()
        if self.share:
            t, a, s = run["teacher"](batch.lit), run["autoencoder"](batch.lit), run["student"](batch.lit)[:, t.shape[1] :]
            terms |= {"rebuild": 2 * self.share * difference(t, a).mean(), "predict": 2 * self.share * difference(a, s).mean()}
        return terms

    def result(self, run):
        nets = [copy.deepcopy(net).eval() for net in (run.nets["teacher"], run.nets["student"], run["autoencoder"])]
        detector = Detector(*nets, self.share, torch.zeros(2, 2, device=run.device))
        with torch.no_grad():
            normal = [detector.both(run.rows("valid", k).x) for k in range(self.calibrate)]
        levels = torch.tensor([self.low, self.high], device=run.device)
        detector.quantiles.copy_(torch.stack([torch.quantile(torch.cat(m).flatten(), levels) for m in zip(*normal, strict=True)]))
        return detector
