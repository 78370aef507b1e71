"""TITAN: a target-based iterative query-token adversarial network (Ashraf and Bashir, ICCV 2025)."""

import functools
import math

import torch
import torch.nn.functional as F
from torch import nn

from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.method import Method, at, freeze, register, span
from understudy.core.taps import probe
from understudy.core.world import Player
from understudy.parts.augment import noisy
from understudy.parts.boxes import carried, decode, found
from understudy.parts.divergence import wide
from understudy.parts.ema import ema_
from understudy.parts.pseudo_boxes import learned, picked, told, two_views
from understudy.parts.relation import tokens


class Judge(nn.Module):
    """Tells easy from hard pictures by their tokens, one by one and gathered by a query; [N, L, D] -> logits [N, L], [N, 1]"""

    def __init__(self, width, hidden):
        super().__init__()
        self.query = nn.Parameter(torch.randn(width))
        self.one, self.all = (nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1)) for _ in range(2))

    def forward(self, x):
        x = F.layer_norm(wide(x), x.shape[-1:]).to(self.query.dtype)
        attention = (x @ self.query / math.sqrt(x.shape[-1])).softmax(1)
        return self.one(x)[..., 0], self.all((attention[..., None] * x).sum(1))


class Judges(nn.ModuleList):
    """One for each kind of token, and which rows are easy, `easy` [rows] bool."""

    def __init__(self, widths, hidden, easy):
        super().__init__(Judge(width, hidden) for width in widths)
        self.register_buffer("easy", easy)


@register
class TITAN(Method):
    r"""Pictures of the new domain that are like the source and those that aren't are told apart once, and the student is to make
    their features alike while a mean teacher labels them.

        L_student = L_det(s; H) - align A     L_judge = A     A = 1/2 sum_l ( BCE(D_l(q_l), e) + mean_i BCE(d_l(f_{l,i}), e) )
        v = v_b v_c      v_b = 1/(M n) sum_{i,m} |b_{i,m} - b_i|^2      v_c = 1/(M n) sum_{i,m} |c_{i,m} - c_i|^2

    e = 1 where a picture's detection variance v, of boxes b and class probabilities c of its n likeliest objects over M disturbed
    passes of the source's detector, is in the highest share `easy`: the paper finds that high variance goes with high recall.
    f_{l,i} are tokens of two kinds l, cells of the encoder's map and candidates of the decoder; a domain query Q_l gathers from
    them q_l = sum_i softmax_i(f_{l,i}.Q_l / sqrt(d)) f_{l,i}. D_l, d_l tell e from both, and the student, the gradient reversed,
    makes that hard. H: the teacher's objects with a score above `sure`, in a weak view.

    Shapes: b [M, N, n, 4]; c [M, N, n, K]; f [N, L, D]; a detector is net(x, candidates [N, A, 4]) -> logits, offsets and rois.
    Departures: a two-stage detector for a transformer: its map and its candidates' features stand for the tokens, and the Q
    gather beside it, one layer each, where the paper's pass through all layers. Passes are disturbed by noise in the
    picture, not by dropout, which the detector has none of. The weights, and judges as a player of their own rate, are ours.
    """

    card = Card(
        "TITAN: Query-Token based Domain Adaptive Adversarial Learning", "arXiv:2506.21484", 2025, slug="titan", world="foggy",
        baseline={"align": 0.0}, tags={"self", "average", "taps", "game"}, tasks=("detect",),
        tune={"align": (0.03, 0.1, 0.3, 1.0)},
    )  # fmt: skip

    align: float = span(0.1, 0, 1e3)  # weight of the reversed gradient; 0 is the mean teacher on sure objects
    easy: float = span(0.5, 0, 1)  # share of the pictures that count as like the source
    passes: int = span(4, 2, 100)  # M
    noise: float = span(0.1, 0, 10)  # that disturbs them
    sure: float = span(0.7, 0, 1)  # score of an object that counts as a label
    hidden: int = span(32, 1, 4096)  # of a judge
    rate: float = span(0.01, 0, 1)  # learning rate of the judges
    decay: float = span(0.97, 0, 1)  # of the average
    at: tuple[str, ...] = at(("stage:-1", "penultimate"), "student")  # encoder, decoder

    def players(self, world):
        return {"student": world.player, "judges": Player(functools.partial(torch.optim.Adam, lr=self.rate))}

    def setup(self, world):
        student = world.student()
        variance = torch.cat([self.variance(student, rows.x) for rows in world.sweep()])
        easy = variance.argsort().argsort() >= (1 - self.easy) * len(variance)
        widths = [tokens(f).shape[-1] for f in probe(student, self.at, next(iter(world.sweep())).x[:1])]
        return {"student": student, "teacher": freeze(student), "judges": Judges(widths, self.hidden, easy)}

    @torch.no_grad()
    def variance(self, net, x, n=8):
        """v of each picture; [N, C, H, W] -> [N]"""
        said = [net(noisy(x, self.noise)) for _ in range(self.passes)]
        c = torch.stack([out["logits"].softmax(-1)[..., :-1] for out in said])
        b = torch.stack([decode(out["offsets"], out["rois"]) for out in said])
        likeliest = c.mean(0).sum(-1).topk(min(n, c.shape[2])).indices
        each = (torch.stack([picked(v, likeliest) for v in values]) for values in (b, c))
        v_b, v_c = ((v - v.mean(0)).square().sum(-1).mean((0, 2)) for v in each)
        return v_b * v_c

    def source(self, run):
        rows = run.rows()
        batch = Batch({**rows, **two_views(rows.x)})
        out = run["teacher"](batch.weak)
        object = found(out, most=8)
        batch.update(object, boxes=told(object["boxes"], batch.way, batch.strong), rois=carried(out["rois"], batch.way))
        return Batch({**batch, "sure": object["scores"] > self.sure})

    def loss(self, run, batch):
        out, inside = run.tap("student", self.at, batch.strong, batch.rois)
        classes, places = learned(out, batch.boxes, batch.labels, batch.sure)
        easy = run["judges"].easy[batch.row].to(out["rois"])
        verdicts = [said.T for judge, f in zip(run["judges"], inside, strict=True) for said in judge(tokens(f))]
        wrong = sum(F.binary_cross_entropy_with_logits(said, easy.expand_as(said)) for said in verdicts)
        terms = {"classes": classes.mean(), "places": places.mean(), "alike": -self.align * wrong / 2}
        return {"student": terms, "judges": {"wrong": wrong / 2}}

    def after_step(self, run, batch):
        ema_(run["teacher"], run["student"], self.decay)
