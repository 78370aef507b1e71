"""MHIM-MIL, second version: masked hard instance mining (Tang, Huang, Fang, Zhou, Liu and Liu, IJCV 2025)."""

import math

import torch
from torch import nn

from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.method import Method, freeze, register, span
from understudy.parts.bags import drawn, embedded, extreme, weights
from understudy.parts.divergence import soft_cross_entropy, wide
from understudy.parts.ema import ema_


class Recycle(nn.Module):
    """What is left of the instances that were masked at random: queries, which follow the answers that they get, ask them;
    [N, M, D], [N, M] bool -> [N, K, D], and [N, K] bool whether anyone was there to be asked"""

    def __init__(self, width, tokens, heads, decay):
        super().__init__()
        self.decay, self.norm = decay, nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, math.gcd(width, heads), bias=False, batch_first=True)
        self.register_buffer("query", 0.1 * torch.randn(1, tokens, width))

    def forward(self, h, masked):
        there = masked.any(-1, keepdim=True)
        asked, query = self.norm(h), self.norm(self.query.to(h)).expand(len(h), -1, -1)
        told, _ = self.attention(query, asked, asked, key_padding_mask=~(masked | ~there))
        if self.training:
            self.query = self.query.lerp(told.detach().mean(0, keepdim=True).to(self.query), 1 - self.decay)
        return told.to(h), there.expand(-1, told.shape[1])


class Recycling(nn.Module):
    """The student with the tokens that all instances become; [N, M, ...] -> [N, C]"""

    def __init__(self, student, recycle):
        super().__init__()
        self.student, self.recycle = student, recycle

    def forward(self, x):
        h = self.student.encoder(x)
        h = torch.cat([h, self.recycle(h, torch.ones_like(h[..., 0], dtype=torch.bool))[0]], 1)
        return self.student.head(embedded(h, self.student.attention(h)))


@register
class MHIMMILv2(Method):
    r"""The instances that the moving average holds for the evidence of a bag are masked, and most others are seen only as tokens
    that a small network recycles them into, so that nothing decisive is lost by chance.

        p_k = max softmax(W a_k h_k),   masked = the high of largest p_k;   of the others `kept` are seen, R are not
        L = CE(y, s(seen, recycle(h_R, q))) + weight CE(softmax(Z / t), z),   u <- decay u + (1 - decay) s

    a, h and W are the teacher's attention, features and head. recycle is cross-attention of queries q, which follow the mean of
    their answers; z is the bag's embedding by the student from what is seen and recycled, Z the teacher's from all instances. In
    the first part of the budget nothing is masked, and the teacher follows at once. In use all instances are seen, and recycled.

    Shapes: X [N, M, ...]; a, p [N, M]; h [N, M, D]; z, Z [N, D]; q [K, D]; s [N, C] logits of the bag; y [N].
    Departures: `high` is larger and decays are shorter than the code's (0.01 to 0.05, 0.9999), for bags of tens of instances and
    hundreds of updates. The code gives the student the initial teacher's first layer alone; here it has all of it. That tokens
    are there in use too is an option of the code. The head's bias is left out of p, as the code does in effect, where all classes
    get the first one's. No dropout. A bag of which all would be masked is seen whole.
    """

    card = Card(
        "Multiple Instance Learning Framework with Masked Hard Instance Mining for Gigapixel Histopathology Image Analysis",
        "arXiv:2509.11526", 2025, slug="mhim-mil-v2", world="bags", tags={"self", "average"}, forwards=2,
        baseline={"high": 0.0, "kept": 1.0, "weight": 0.0}, tune={"weight": (0.05, 0.1, 0.2, 0.5)}, tasks=("classify",),
    )  # fmt: skip

    weight: float = span(0.5, 0, 1e3)  # of the embedding's consistency
    high: float = span(0.05, 0, 1)  # share of instances with the clearest evidence, which are masked
    kept: float = span(0.2, 0, 1)  # share of the others that is seen; with high 0, kept 1 and weight 0 the student is alone
    tokens: int = span(1, 1, 64)  # K, that the unseen become
    heads: int = span(4, 1, 64)  # of the recycling attention, at most
    t: float = span(0.1, 1e-2, 100)  # temperature of the teacher's embedding
    decay: float = span(0.99, 0, 1)  # of the average
    follow: float = span(0.99, 0, 1)  # of the queries
    pretrain: float = span(0.25, 0, 1)  # share of the budget before anything is masked

    def setup(self, world):
        student = world.student()
        width = student.head.in_features
        return {"student": student, "teacher": freeze(student), "recycle": Recycle(width, self.tokens, self.heads, self.follow)}

    def source(self, run):
        """Which instances the student sees, which are recycled, and the bag as the teacher sees it."""
        batch, teacher = run.rows(), run["teacher"]
        h = teacher.encoder(batch.x)
        a = teacher.attention(h)
        rest = torch.ones_like(a, dtype=torch.bool)
        seen = rest
        if run.progress >= self.pretrain:
            p = wide(weights(a)[..., None] * h @ teacher.head.weight.T).softmax(-1).amax(-1)
            rest = ~extreme(p, self.high)
            seen = drawn(rest, self.kept)
        return Batch({**batch, "seen": seen, "recycled": rest & ~seen, "z": embedded(h, a)})

    def loss(self, run, batch):
        student = run["student"]
        h = student.encoder(batch.x)
        more, there = run["recycle"](h, batch.recycled)
        seen = batch.seen | ~(batch.seen | batch.recycled).any(-1, keepdim=True)  # where all would be masked, nothing is
        h, shown = torch.cat([h, more], 1), torch.cat([seen, there], 1)
        z = embedded(h, student.attention(h), shown)
        weight = self.weight if run.progress >= self.pretrain else 0.0
        same = soft_cross_entropy((wide(batch.z) / self.t).softmax(-1), z)
        return {"hard": run.world.hard(student.head(z), batch), "consistency": weight * same}

    def after_step(self, run, batch):
        ema_(run["teacher"], run["student"], self.decay if run.progress >= self.pretrain else 0.0)

    def result(self, run):
        return Recycling(run.nets["student"], run["recycle"]) if self.kept < 1 else run.nets["student"]
