"""Dual pseudo-label polishing (Zhang, Sun and Wei, AAAI 2023)."""

import functools

import torch
import torch.nn.functional as F
from torch import nn

from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.method import Method, at, choice, freeze, register, span
from understudy.core.taps import probe
from understudy.core.world import Player
from understudy.parts.boxes import carried, decode, encode, found, grown, jittered
from understudy.parts.divergence import wide
from understudy.parts.ema import ema_
from understudy.parts.filters import overlapping
from understudy.parts.pseudo_boxes import learned, mistaken, told, two_views


class Polishers(nn.Module):
    """own, around [..., D], said [..., K+1] -> corrected logits [..., K+1], offsets [..., 4]"""

    def __init__(self, width, hidden, classes):
        super().__init__()
        layer = lambda i, o: nn.Sequential(nn.Linear(i, o), nn.ReLU())
        self.category = nn.Sequential(layer(2 * width + classes, hidden), nn.Linear(hidden, classes))
        self.box = nn.Sequential(layer(2 * width, hidden), layer(hidden, hidden), nn.Linear(hidden, 4))

    def forward(self, own, around, said):
        both = torch.cat([own, around], -1)
        return self.category(torch.cat([both, said], -1)), self.box(both) / 5


@register
class DualPolishing(Method):
    r"""Two networks learn on labelled objects to undo mistakes made on purpose, then correct what a teacher says of others.

        L = L_det(s; y) + alpha (L_class(s; U_c) + L_place(s; U_b))
        L_polish = CE(C(f(b~), q~), y~) + smooth_L1(B(f(b~)), b - b~)

    b~ is a true box b, its sides moved by up to `jitter`; q~ the probabilities of its class, replaced by any with probability
    `flip`, under noise; y~ is y, or the background where b~ overlaps b by less than a half. f(b~) are the teacher's features of
    b~ and of its surroundings, a box half as large again. Of the teacher's own objects (q, b) the polished class is C(f(b), q),
    the polished box b + B(f(b)). Who is learned from is told apart for the two: U_c are objects whose polished class has at least
    `sure`, U_b those likelier an object than not whose box polishing hardly moves, an overlap of `steady` with itself.

    Shapes: q [N, M, K+1]; b [N, M, 4]; f [N, M, 2D]; a detector is net(x, boxes [N, A, 4]) -> logits, offsets, rois.
    Departures: read in its summary: the polishers' layers, the noise of q~ and how U_b is chosen are ours. Polishers have a rate
    of their own. The student sees every row strongly changed, labelled ones too. Candidates are the teacher's grid.
    """

    card = Card(
        "Mind the Gap: Polishing Pseudo Labels for Accurate Semi-supervised Object Detection", "arXiv:2207.08185", 2023,
        slug="dual-pseudo-label-polishing", world="scenes", baseline={"polish": "none"}, forwards=3, tasks=("detect",),
        tags={"self", "average", "taps", "labels", "game"}, tune={"alpha": (0.5, 1.0, 2.0, 4.0)},
    )  # fmt: skip

    alpha: float = span(1.0, 0, 100)  # weight of what is learned from the teacher
    polish: str = choice("both", "none")  # 'none' is the mean teacher on sure objects
    sure: float = span(0.9, 0, 1)  # score of an object whose class is learned; without polishing its place too
    steady: float = span(0.8, 0, 1)  # overlap of a box with its polished self
    jitter: float = span(0.3, 0, 1)  # of a true box's sides
    times: int = span(4, 1, 100)  # mistakes a true object
    flip: float = span(0.3, 0, 1)  # share of wrong classes
    hidden: int = span(64, 1, 4096)  # of a polisher
    rate: float = span(0.003, 0, 1)  # learning rate of the polishers
    decay: float = span(0.99, 0, 1)  # of the average
    at: str = at("penultimate", "teacher")  # features of a box

    def players(self, world):
        return {"student": world.player, "polishers": Player(functools.partial(torch.optim.Adam, lr=self.rate))}

    def setup(self, world):
        student, x = world.student(), world.rows(0).x[:1]
        polishers = Polishers(probe(student, self.at, x).shape[-1], self.hidden, student(x)["logits"].shape[-1])
        return {"student": student, "teacher": freeze(student), "polishers": polishers}

    def source(self, run):
        rows = run.rows()
        batch = Batch({**rows, **two_views(rows.x)})
        out = run["teacher"](batch.weak)
        object, none = found(out, most=8), out["logits"].shape[-1] - 1
        true, y = carried(rows.y["boxes"].nan_to_num(), batch.here), rows.y["labels"]
        wrong = jittered(true, self.times, self.jitter).flatten(1, 2)
        true, label = true.repeat(1, self.times, 1), y.repeat(1, self.times)
        asked = torch.cat([object["boxes"], wrong], 1)
        said, f = run.tap("teacher", self.at, batch.weak, torch.cat([asked, grown(asked, 0.5)], 1))
        own, around = wide(f).chunk(2, 1)
        p = torch.cat([wide(said["logits"])[:, :8].softmax(-1), mistaken(label, none, self.flip).to(own)], 1)
        batch.update(object, own=own, around=around, said=p, asked=asked, wanted=true)
        batch.update(truth=label.where(overlapping(wrong, true, 0.5), none))
        return Batch({**batch, "there": (label >= 0) & (label < none), "rois": carried(out["rois"], batch.way)})

    def loss(self, run, batch):
        n = batch.boxes.shape[1]
        logits, moves = run["polishers"](batch.own, batch.around, batch.said)
        truth, there = batch.truth.where(batch.there, -1), batch.there & (batch.truth < logits.shape[-1] - 1)
        wrong = F.cross_entropy(logits[:, n:].flatten(0, 1), truth.flatten(), ignore_index=-1, reduction="sum")
        off = F.smooth_l1_loss(moves[:, n:], encode(batch.wanted, batch.asked[:, n:]), reduction="none", beta=1 / 9).sum(-1)
        polish = {"category": wrong / batch.there.sum().clamp(min=1), "box": (off * there).sum() / there.sum().clamp(min=1)}
        labels, scores, boxes, steady = self.polished(batch, logits[:, :n].detach(), moves[:, :n].detach())
        out = run["student"](batch.strong, batch.rois)
        hidden, boxes = (batch.y["labels"] < 0).any(1), told(boxes, batch.way, batch.strong)
        (classes, _), (_, places) = (learned(out, boxes, labels, kept) for kept in (scores > self.sure, steady))
        true = carried(carried(batch.y["boxes"], batch.here), batch.way)
        hard = run.world.hard(out, Batch({**batch, "y": {"boxes": true, "labels": batch.y["labels"]}}))
        w = self.alpha * hidden / hidden.sum().clamp(min=1)
        return {"student": {"hard": hard, "classes": (w * classes).sum(), "places": (w * places).sum()}, "polishers": polish}

    def polished(self, batch, logits, moves):
        """Classes [N, M], their scores, boxes [N, M, 4], and whose place is learned [N, M]"""
        if self.polish == "none":
            return batch.labels, batch.scores, batch.boxes, batch.scores > self.sure
        p, moved = logits.softmax(-1), decode(moves, batch.boxes)
        scores, labels = p[..., :-1].max(-1)
        return labels, scores, moved, (p[..., -1] < 0.5) & overlapping(moved, batch.boxes, self.steady)

    def after_step(self, run, batch):
        ema_(run["teacher"], run["student"], self.decay)
