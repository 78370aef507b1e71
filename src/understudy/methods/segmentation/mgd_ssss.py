"""MGD: multi-granularity distillation (Qin, Wu, Li, Xiao, Zheng and Wang, ECCV 2022)."""

import torch
import torch.nn.functional as F

from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.method import Method, at, register, span
from understudy.parts.dice import pixel_cross_entropy
from understudy.parts.divergence import wide
from understudy.parts.mix import cut, paste
from understudy.parts.relation import tokens, unit


@register
class MGDSSSS(Method):
    r"""A light student learns from two teachers of complementary build: pixels from both, whole pictures from the deep, thin one,
    how regions resemble one another from the shallow, wide one, on labelled and on unlabelled pictures.

        L = hard + pixel sum_t CE(argmax t(x), s(x)) + image mean |P_1 s(x) - P_1 d(x)| + region mean (C(f_s) - C(f_w))^2
        x = a labelled picture, or a mix u . M + u' . (1 - M) of two unlabelled ones;  C(f)_{ij} = cos(P_7 f_i, P_7 f_j)

    d and w are the deep and the wide teacher, t either; their pixels' labels in a mix are those of u and u', mixed likewise. P_k
    is the mean over each of k x k parts of a picture (fewer, where a map has fewer places).

    Shapes: x [N, C, H, W]; s, d, w [N, K, H, W] logits; f [N, D, h, w] features; C [N, 49, 49]; M [H, W].
    Departures: both teachers stay as they were given; in the code the wide one goes on learning from the student, and the deep
    one is never moved. There the image and region terms see mixes only, here labelled pictures too, as the paper says. The
    image term is a mean: the code's 0.002 of a sum over 16 pictures and 21 classes is 0.67 of it. M is one rectangle, not three.
    """

    card = Card(
        "Multi-Granularity Distillation Scheme Towards Lightweight Semi-Supervised Semantic Segmentation", "arXiv:2208.10169",
        2022, slug="mgd-ssss", world="touching-teachers", baseline={"image": 0.0, "region": 0.0}, forwards=3,
        tags={"teacher", "taps", "labels", "batch"}, tasks=("segment",), tune={"pixel": (0.3, 1.0, 3.0, 10.0)},
    )  # fmt: skip

    pixel: float = span(1.0, 0, 1e3)  # weight of both teachers' labels
    image: float = span(0.67, 0, 1e3)  # of mean logits
    region: float = span(100.0, 0, 1e4)  # of likeness among regions
    regions: int = span(7, 1, 64)  # of each side
    least: float = span(0.25, 0, 1)  # smallest share of a picture that another is pasted into
    most: float = span(0.5, 0, 1)  # largest
    teachers: tuple[str, ...] = at(("deep", "wide", "wide.bottom"), "teacher")  # two sets of logits, and the wide one's features
    at: str = at("bottom", "student")

    def source(self, run):
        """Labelled pictures, then mixes, with each teacher's labels."""
        batch = run.rows()
        known = (batch.y >= 0).flatten(1).any(1)
        l, u, other = batch.x[known], batch.x[~known], batch.x[~known].roll(1, 0)
        _, (deep, broad, _) = run.tap("teacher", self.teachers, torch.cat([l, u]))
        share = 1 - torch.empty(len(u), device=u.device).uniform_(min(self.least, self.most), self.most)
        mask = cut(*u.shape[-2:], share)[0]
        said = [v.argmax(1) for v in (deep, broad)]
        said = [torch.cat([v[: len(l)], paste(v[len(l) :], v[len(l) :].roll(1, 0), mask)]) for v in said]
        x = torch.cat([l, paste(u, other, mask)])
        y = torch.cat([batch.y[known], batch.y[~known]])
        return Batch(x=x, y=y, row=batch.row, deep=said[0], wide=said[1])

    def loss(self, run, batch):
        s, f = run.tap("student", self.at, batch.x)
        with torch.no_grad():
            _, (deep, _, g) = run.tap("teacher", self.teachers, batch.x)
        everywhere = torch.ones_like(batch.y)
        one = lambda logits: wide(logits).mean((2, 3))
        return {
            "hard": run.world.hard(s, batch),
            "pixel": self.pixel * sum(pixel_cross_entropy(s, label, everywhere) for label in (batch.deep, batch.wide)),
            "image": self.image * (one(s) - one(deep)).abs().mean(),
            "region": self.region * (self.alike(f) - self.alike(g)).square().mean(),
        }

    def alike(self, f):
        """Cosines between regions; [N, D, h, w] -> [N, R, R]"""
        f = unit(tokens(F.adaptive_avg_pool2d(wide(f), [min(self.regions, n) for n in f.shape[-2:]])))
        return f @ f.mT
