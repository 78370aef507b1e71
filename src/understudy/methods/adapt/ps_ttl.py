"""PS-TTL: prototype-based soft labels and test-time learning (Gao, Zhang, Huang, Liu and Huang, ACM Multimedia 2024)."""

import torch

from understudy.core.card import Card
from understudy.core.method import Method, at, freeze, register, span
from understudy.core.taps import probe
from understudy.parts.divergence import soft_cross_entropy, wide
from understudy.parts.ema import ema_
from understudy.parts.filters import zones
from understudy.parts.poses import strongly, weakly
from understudy.parts.project import pooled
from understudy.parts.prototypes import Queued


@register
class PSTTL(Method):
    r"""Shown a few rows of new classes, a model learns on from unlabelled ones: labels where it is sure, prototypes where not.

    With p = softmax u(w) the average's answer about a weak view w, s and f the student's logits and features of a strong one v,
    c_k a prototype of each class and q_k = exp(10 cos(f, c_k)) / sum_j exp(10 cos(f, c_j)),

        L = CE(y', s(x')) + pseudo (mean_{max p >= high} CE(argmax p, s(v)) + soft mean_{low <= max p < high} KL(q, s(v)))

    where (x', y') are the few labelled rows. c_k begins at their mean; after a step the features of rows with max p >= high join
    their class's queue, and c_k goes half the way to its mean; u's weights go a share 1 - decay of the way to the student's.

    Shapes: x, w, v [N, ...]; s, u, p, q [N, C]; f, c_k [D].
    Departures: the paper detects objects, and its labels and prototypes are of boxes; here a row is what a box is there, so
    there is no box to be suppressed or regressed, and no background. The student sees a strong view, as in the paper; in the
    released code it sees the weak one. The average answers. Decay 0.999 for 0.9996, since the stream is short.
    """

    card = Card(
        "PS-TTL: Prototype-based Soft-labels and Test-Time Learning for Few-shot Object Detection", "arXiv:2408.05674", 2024,
        slug="ps-ttl", world="newcomers", baseline={"pseudo": 0.0}, forwards=4,
        tags={"self", "average", "stream", "classes", "labels", "taps"}, tune={"decay": (0.9, 0.97, 0.99, 0.999)},
        tasks=("classify",),
    )  # fmt: skip

    pseudo: float = span(0.5, 0, 1e3)  # weight of the rows without a label; 0 goes on fine-tuning on the few
    soft: float = span(0.1, 0, 1e3)  # weight of prototypes beside labels
    high: float = span(0.9, 0, 1)  # as sure as that, and the answer is a label
    low: float = span(0.5, 0, 1)  # less sure than that, and nothing is learned
    decay: float = span(0.999, 0, 1)  # of the moving average
    at: str = at("penultimate", "student")

    def setup(self, world):
        student = world.student()
        seen = [(pooled(probe(student, self.at, part.x)), part.y) for part in world.sweep()]
        f, y = (torch.cat(parts) for parts in zip(*seen, strict=True))
        classes = student(world.rows(0).x[:1]).shape[-1]
        return {"student": student, "teacher": freeze(student), "prototypes": Queued(f, y, classes)}

    def source(self, run):
        batch = run.rows()
        batch["weak"], batch["strong"], batch["known"] = weakly(batch.x), strongly(batch.x), run.rows("source")
        return batch

    def loss(self, run, batch):
        with torch.no_grad():
            p = wide(run["teacher"](batch.weak)).softmax(-1)
        zone = zones(p.amax(-1), min(self.low, self.high), self.high)
        s, f = run.tap("student", self.at, batch.strong)
        batch["features"], batch["label"] = pooled(f).detach(), p.argmax(-1).where(zone == 1, -1)
        label, q = torch.nn.functional.one_hot(p.argmax(-1), p.shape[-1]).to(p), run["prototypes"].soft(batch.features)
        some = lambda each, these: (each * these).sum() / these.sum().clamp(min=1)
        kl = soft_cross_entropy(q, s, each=True) + torch.special.entr(q).sum(-1).neg()
        return {
            "hard": run.world.hard(run["student"](batch.known.x), batch.known),
            "pseudo": self.pseudo * some(soft_cross_entropy(label, s, each=True), zone == 1),
            "soft": self.pseudo * self.soft * some(kl, zone == -1),
        }

    def after_step(self, run, batch):
        run["prototypes"].add(batch.features, batch.label)
        ema_(run["teacher"], run["student"], self.decay)

    def result(self, run):
        return run.nets["teacher"]
