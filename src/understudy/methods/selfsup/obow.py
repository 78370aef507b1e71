"""OBoW (Gidaris, Bursuc, Puy, Komodakis, Cord and Perez, CVPR 2021)."""

import torch
from torch import nn

from understudy.core.card import Card
from understudy.core.method import Method, at, freeze, register, span
from understudy.core.taps import probe
from understudy.parts.crops import glimpse
from understudy.parts.divergence import wide
from understudy.parts.ema import ema_
from understudy.parts.project import pooled
from understudy.parts.projector import mlp
from understudy.parts.relation import unit
from understudy.parts.schedule import risen
from understudy.parts.words import Vocabulary


@register
class OBoW(Method):
    r"""From parts of a picture a student tells which visual words its own average finds in the whole; the words follow.

        L = sum over large and small crops v of mean_levels KL(bag(u(x)) || softmax(kappa f(v) . G(w)))
        bag_k = max over places of q_k, over its sum,   q = softmax_k(-|u - w_k|^2 / (delta spread))

    u(x) are local features of the student's average at two levels, w the last K of them that were met, one a picture, spread
    the running mean of the squared distance to the nearest word; G makes a unit vector of each word: weights that follow the
    words. After step k of all, u's network goes a share 1 - tau of the way to the student, tau rising from `decay` to 1 by half
    a cosine.

    Shapes: f [N, D] the student's features of a crop; u [N, C, H, W]; w [K, C]; G(w) [K, D]; bag [N, K].
    Departures: maps are so small here that their border stays, and a word is averaged with its neighbours where there are 3 x 3.
    Crops change light and noise, without flips, hues and blur; the average sees the picture as it is.
    Words are assigned more softly (delta 0.5 for 1/15) and kappa is 4 for 8, as few words of few pictures ask for.
    """

    card = Card(
        "OBoW: Online Bag-of-Visual-Words Generation for Self-Supervised Learning", "arXiv:2012.11552", 2021, slug="obow",
        world="gallery", baseline="byol", tags={"self", "average", "taps", "batch"}, forwards=3,
        tune={"delta": (0.07, 0.2, 0.5, 1.5)}, tasks=("classify",),
    )  # fmt: skip

    words: int = span(128, 2, 10**6)  # K of each level
    delta: float = span(0.5, 1e-3, 1e3)  # how soft words are assigned; small is hard
    kappa: float = span(4.0, 1e-2, 1e3)  # scale of the student's scores
    decay: float = span(0.97, 0, 1)  # of the average at first
    large: int = span(1, 1, 32)  # crops of half of the area or more
    small: int = span(3, 1, 32)  # and of less
    size: float = span(0.75, 0.05, 1)  # of a small crop's side, as a share of a picture's
    least: float = span(0.15, 0.01, 1)  # of the area in a small crop
    at: tuple[str, ...] = at(("stage:-2", "stage:-1"), "student", "teacher")  # levels

    def setup(self, world):
        student, x = world.student(), world.rows(0).x
        d, levels = pooled(probe(student, "", x)).shape[1], probe(student, self.at, x)
        vocabulary = nn.ModuleList(Vocabulary(self.words, u.shape[1], self.delta) for u in levels)
        weigh = nn.ModuleList(mlp(u.shape[1], 2 * d, d) for u in levels)
        return {"student": student, "teacher": freeze(student), "weigh": weigh, "vocabulary": vocabulary}

    def source(self, run):
        batch = run.rows()
        batch["large"] = torch.cat([glimpse(batch.x, 0.5, 1.0) for _ in range(self.large)])
        batch["small"] = torch.cat([glimpse(batch.x, self.least, 0.5, self.size) for _ in range(self.small)])
        batch["levels"] = list(run.tap("teacher", self.at, batch.x)[1])
        batch["bags"] = [words(u) for words, u in zip(run["vocabulary"], batch.levels, strict=True)]
        return batch

    def loss(self, run, batch):
        weights = [unit(g(unit(v.ring.rows))) for g, v in zip(run["weigh"], run["vocabulary"], strict=True)]
        terms = {}
        for name in ("large", "small"):
            f = wide(pooled(run["student"](batch[name]))).view(-1, len(batch.x), weights[0].shape[1])
            said = [(self.kappa * f @ w.to(f).T).log_softmax(-1) for w in weights]
            each = [
                (bag.to(q) * (bag.clamp(min=1e-30).log() - q)).sum(-1).mean() for bag, q in zip(batch.bags, said, strict=True)
            ]
            terms[name] = sum(each) / len(each)
        return terms

    def after_step(self, run, batch):
        ema_(run["teacher"], run["student"], risen(self.decay, run.step, run.world.steps))
        for words, u in zip(run["vocabulary"], batch.levels, strict=True):
            words.add(u)
