"""CMD: cross-level multi-instance distillation (Bi, Ji, Yi, Zhan and Xia, 2024)."""

import torch
from torch import nn

from understudy.core.card import Card
from understudy.core.method import Method, at, freeze, register, span
from understudy.core.taps import probe, tap
from understudy.parts.bags import GatedAttention, embedded, weights
from understudy.parts.crops import glimpse
from understudy.parts.crossviews import across, matched
from understudy.parts.divergence import wide
from understudy.parts.ema import ema_
from understudy.parts.projector import Directions
from understudy.parts.schedule import risen
from understudy.parts.sharpen import Centre


class Bag(nn.Module):
    """A map as a bag of places; [N, C, H, W] -> features [N, M, C], weights [N, M], answers of bag [N, K] and places [N, M, K]"""

    def __init__(self, width, hidden, neck, dim):
        super().__init__()
        self.attention = GatedAttention(width, hidden)
        self.image, self.region = (Directions(width, hidden, neck, dim) for _ in range(2))

    def forward(self, features):
        h = features.flatten(2).mT
        a = self.attention(h)
        return h, weights(a), self.image(embedded(h, a)), self.region(h)


class Embedding(nn.Module):
    """What a network sees in a row, its places weighted by attention; [N, ...] -> [N, C]"""

    def __init__(self, net, attention, at):
        super().__init__()
        self.net, self.attention, self.at = net, attention, at

    def forward(self, x):
        h = tap(self.net, self.at, x)[1].flatten(2).mT
        return embedded(h, self.attention(h))


@register
class CMD(Method):
    r"""What tells fine kinds apart is in few places, so a picture is a bag of them, weighed by attention.

        L = (intra_image + intra_region) / 2 + inter mean_v KL(sum_m a_m r_m(v) || b(v))
        intra_image = mean over large g, other views v of CE(b'(g), b(v))
        intra_region = the same, mean over places m of CE(r'_j(g), r_m(v)),   j = argmax_j cos(h_m(v), h'_j(g))

    h_m are a view's local features, a = softmax of gated attention on them, b the answer about sum_m a_m h_m and r_m about h_m:
    softmax(. / t) of a head's cosines. A prime is the student's average, whose answers are centred and at temperature `sharp`.

    Shapes: two large g and `small` small views v of x [N, C, H, W]; h [N, M, C]; a [N, M]; b [N, K]; r [N, M, K].
    Departures: the attention pools places in the inter-level term too, where the authors' code takes their plain sum; there the
    same divergence inside the average moves nothing, and is left out. Light and noise change, without flips, hues and blur. The
    result embeds a picture by its attention.
    """

    card = Card(
        "Cross-Level Multi-Instance Distillation for Self-Supervised Fine-Grained Visual Categorization", "arXiv:2401.08860",
        2024, slug="cmd-fgvc", world="gallery", baseline="dino", tags={"self", "average", "taps", "batch"}, forwards=3,
        tune={"inter": (0.03, 0.1, 0.3, 1.0)}, tasks=("classify",),
    )  # fmt: skip

    inter: float = span(0.1, 0, 1e3)  # weight of places and picture agreeing within the student
    t: float = span(0.1, 1e-2, 100)  # the student's temperature
    sharp: float = span(0.04, 1e-2, 100)  # the average's
    m: float = span(0.9, 0, 1)  # of the centres
    decay: float = span(0.97, 0, 1)  # of the average at first
    small: int = span(2, 1, 32)  # small crops
    size: float = span(0.75, 0.05, 1)  # of a small crop's side, as a share of a picture's
    split: float = span(0.5, 0.01, 1)  # large crops are of more of the area, small ones of less
    least: float = span(0.15, 0.01, 1)  # of the area in a small crop
    hidden: int = span(64, 1, 65536)
    neck: int = span(32, 1, 4096)
    dim: int = span(64, 2, 10**6)  # K
    at: str = at("stage:-1", "student", "teacher")

    def setup(self, world):
        student, centres = world.student(), nn.ModuleList(Centre(self.dim, self.m) for _ in range(2))
        bag = Bag(probe(student, self.at, world.rows(0).x).shape[1], self.hidden, self.neck, self.dim)
        return {"student": student, "teacher": freeze(student), "bag": bag, "target": freeze(bag), "centres": centres}

    def source(self, run):
        batch = run.rows()
        batch["large"] = torch.cat([glimpse(batch.x, self.split, 1.0) for _ in range(2)])
        batch["small"] = torch.cat([glimpse(batch.x, self.least, self.split, self.size) for _ in range(self.small)])
        batch["h"], _, *batch["z"] = run["target"](run.tap("teacher", self.at, batch.large)[1])
        return batch

    def loss(self, run, batch):
        n, image, region, inter = len(batch.x), [], [], []
        b_mean, r_mean = (centre(z, self.sharp) for centre, z in zip(run["centres"], batch.z, strict=True))
        for views in (batch.large, batch.small):
            h, a, b, r = run["bag"](run.tap("student", self.at, views)[1])
            log_b, log_r = (wide(b) / self.t).log_softmax(-1), (wide(r) / self.t).log_softmax(-1)
            of_places = (a[..., None].to(log_r) * log_r.exp()).sum(1)
            inter.append((of_places * (of_places.clamp(min=1e-30).log() - log_b)).sum(-1))
            image.append(b)
            for v in range(len(views) // n):
                for g in {0, 1} - ({v} if views is batch.large else set()):
                    mine, theirs = slice(v * n, (v + 1) * n), slice(g * n, (g + 1) * n)
                    to = matched(h[mine], batch.h[theirs])[..., None].expand(-1, -1, self.dim)
                    region.append(-(r_mean[theirs].gather(1, to) * log_r[mine]).sum(-1).mean())
        rows = lambda x: x.view(-1, n, self.dim)
        return {"image": across(rows(b_mean), rows(torch.cat(image)), self.t) / 2, "region": sum(region) / len(region) / 2,
                "inter": self.inter * torch.cat(inter).mean()}  # fmt: skip

    def after_step(self, run, batch):
        decay = risen(self.decay, run.step, run.world.steps)
        ema_(run["teacher"], run["student"], decay)
        ema_(run["target"], run["bag"], decay)
        for centre, z in zip(run["centres"], batch.z, strict=True):
            centre.add(z.flatten(0, -2))

    def result(self, run):
        return Embedding(run.nets["student"], run["bag"].attention, self.at)
