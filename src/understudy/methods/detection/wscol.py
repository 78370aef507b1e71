"""WSCoL: weak-to-strong contrastive learning (Yang, Tang, Zhang, Li, Ye, Zhang and Zhu, 2024)."""

import functools

import torch
from torch import nn

from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.method import Method, at, freeze, register, span
from understudy.core.taps import probe
from understudy.core.world import Player
from understudy.parts.boxes import carried, found
from understudy.parts.contrast import by_label
from understudy.parts.divergence import wide
from understudy.parts.ema import ema_
from understudy.parts.prototypes import soft_means
from understudy.parts.pseudo_boxes import learned, picked, told, two_views
from understudy.parts.relation import unit


class Shared(nn.Module):
    """The map into a space that weak and strong features share, and the classes' prototypes there; [..., D] -> [..., dim]"""

    def __init__(self, width, dim, classes):
        super().__init__()
        self.map = nn.Sequential(nn.Linear(width, dim), nn.ReLU(), nn.Linear(dim, dim))
        self.register_buffer("c", torch.zeros(classes, dim))

    def forward(self, f):
        return unit(self.map(f))

    def moved(self, z, p, decay):
        """The prototypes, a share of the way to the means of these rows; where none is yet, those means."""
        fresh = soft_means(z.to(self.c), p.to(self.c))
        return torch.where(self.c.any(1, keepdim=True), decay * self.c + (1 - decay) * fresh, fresh)


@register
class WSCoL(Method):
    r"""A strong view loses what an object was known by; the weak view, where it is still seen, says what the strong one's
    features are to be near.

        L = L_det(s; H) + alpha L_con     L_con = - 1/|P_i| sum_{j in P_i} log ( e^{z_i w_j / t} / sum_k v_k e^{z_i w_k / t} )

    z_i = M(f_i) are the student's features of the `most` likeliest objects of each strong view, w_j = M(g_j) the teacher's of the
    same places in the weak view. The pseudo-label of both is the nearest prototype to w_j, P_i are of i's label. Prototypes,
    of background too, are moving averages of w by the teacher's probabilities p, and move with the domain. L_con is a mean over
    i that aren't background; far from background as far as the teacher is certain of it: v_k = 1 - H(p_k) / log(K+1), else
    1. The map M and the student learn L_con in turn, a step each. H: the teacher's objects with a score above `sure`.

    Shapes: f, g [N, A, D]; z, w [N most, dim]; a detector is net(x, candidates [N, A, 4]) -> logits, offsets and rois.
    Departures: written from the paper's summary, without its equations: entropy as the uncertainty, probabilities as the weights
    of prototypes, the rhythm of turns and all numbers are ours. No proposal network: candidates are the teacher's own grid,
    carried into the student's view, so that places match exactly instead of by overlap.
    """

    card = Card(
        "Rethinking Weak-to-Strong Augmentation in Source-Free Domain Adaptive Object Detection", "arXiv:2410.05557", 2024,
        slug="wscol", world="foggy", baseline={"alpha": 0.0}, tags={"self", "average", "taps", "batch", "game"},
        tasks=("detect",), tune={"alpha": (0.03, 0.1, 0.3, 1.0)},
    )  # fmt: skip

    alpha: float = span(0.1, 0, 1e3)  # weight of the contrast; 0 is the mean teacher on sure objects
    sure: float = span(0.7, 0, 1)  # score of an object that counts as a label
    most: int = span(16, 1, 1000)  # candidates of a picture that are contrasted
    t: float = span(0.1, 1e-2, 100)  # temperature
    dim: int = span(32, 1, 4096)  # of the shared space
    rate: float = span(0.01, 0, 1)  # learning rate of the map
    keep: float = span(0.9, 0, 1)  # decay of the prototypes
    decay: float = span(0.97, 0, 1)  # of the average
    at: str = at("penultimate", "student", "teacher")  # features of a candidate

    def players(self, world):
        return {"student": world.player, "shared": Player(functools.partial(torch.optim.Adam, lr=self.rate))}

    def setup(self, world):
        student = world.student()
        x = next(iter(world.sweep())).x[:1]
        with torch.no_grad():
            classes = student(x)["logits"].shape[-1]
        shared = Shared(probe(student, self.at, x).shape[-1], self.dim, classes)
        return {"student": student, "teacher": freeze(student), "shared": shared}

    def source(self, run):
        rows = run.rows()
        batch = Batch({**rows, **two_views(rows.x)})
        out, g = run.tap("teacher", self.at, batch.weak)
        object, p = found(out, most=8), wide(out["logits"]).softmax(-1)
        pick = p[..., -1].topk(min(self.most, p.shape[1]), largest=False).indices  # who is least background
        batch.update(object, boxes=told(object["boxes"], batch.way, batch.strong), rois=carried(out["rois"], batch.way))
        return Batch({**batch, "sure": object["scores"] > self.sure, "pick": pick, "g": picked(g, pick), "p": picked(p, pick)})

    def loss(self, run, batch):
        out, f = run.tap("student", self.at, batch.strong, batch.rois)
        classes, places = learned(out, batch.boxes, batch.labels, batch.sure)
        f, g, p = (v.flatten(0, 1) for v in (picked(f, batch.pick), batch.g, batch.p))
        shared, mapping = run["shared"], run.step % 2 == 0
        z, w = shared(f), shared(g)  # a player's terms reach that player only
        near = (w.detach() @ unit(shared.moved(w.detach(), p, self.keep)).to(w).T).argmax(-1)
        front = near < p.shape[-1] - 1
        certain = 1 + (p * p.clamp(min=1e-12).log()).sum(-1) / torch.tensor(float(p.shape[-1])).log()
        contrast = by_label(z[front], near[front], w, near, self.t, torch.where(front, 1, certain))
        terms = {"classes": classes.mean(), "places": places.mean()}
        if mapping:
            return {"student": terms, "shared": {"contrast": contrast}}
        return {"student": {**terms, "contrast": self.alpha * contrast}}

    def after_step(self, run, batch):
        shared = run["shared"]
        shared.c.copy_(shared.moved(shared(batch.g.flatten(0, 1)), batch.p.flatten(0, 1), self.keep))
        ema_(run["teacher"], run["student"], self.decay)
