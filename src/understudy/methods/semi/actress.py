"""ACTRESS: active retraining for semi-supervised visual grounding (Kang, Qu, Wei and Yan, ECCV 2024)."""

import torch
from torch import nn

from understudy.core.batch import Batch, each
from understudy.core.card import Card
from understudy.core.method import Method, choice, freeze, register, span
from understudy.core.world import Player
from understudy.parts.boxes import carried, inverse, iou
from understudy.parts.ema import ema_, warm
from understudy.parts.quantised import certainty, middles
from understudy.parts.stages import anew
from understudy.parts.views import strong, weak


class Pool(nn.Module):
    """Of every row a box, and whether it is believed; free [N] bool: the rows that nobody gave a box."""

    def __init__(self, free):
        super().__init__()
        self.register_buffer("free", free)
        self.register_buffer("box", torch.zeros(len(free), 4))
        self.register_buffer("kept", torch.zeros_like(free))

    def take(self, box, score, least, share):
        """Of the free rows whose score is at least that, the best share of all free ones, and no others any more."""
        best = score.masked_fill(~self.free, -1).argsort(descending=True, stable=True)[: round(share * int(self.free.sum()))]
        self.kept = torch.zeros_like(self.free).index_fill(0, best, True) & self.free & (score >= least)
        self.box = box.to(self.box)


@register
class ACTRESS(Method):
    r"""A network that says a box twice, as numbers and as classes of its sides, believes of its own answers those that agree with
    each other, stay where they are in another view and at another checkpoint, and are sure; what reads the boxes out is born
    again with every new selection, what understands picture and phrase goes on.

        S(x) = IoU(b, q) (IoU(b, v) + IoU(b, b')) / 2 mean_sides max_k p_k
        B = {x without a box: S(x) >= tau, S(x) among the best share},   L = L_box(y) + weight L_box(b_{B})

    b and q are the average's box and the middles of its likeliest strips (faithfulness), v its box in a weak view, carried back,
    and b' the student's, a checkpoint ahead of it (robustness), p the softmax over strips (confidence). B is chosen at the end
    of each of R rounds but the last.

    Shapes: x {picture [N, C, H, W], words [N, L]}; b, q, v, b' [N, 4] in pixels; p [N, 4, K]; S [N]; L_box is the world's loss.
    Departures: the three scores are multiplied; how the authors weigh them wasn't at hand. What goes on is the encoder, as
    in SiRi (Qu et al. 2022). The whole optimiser forgets when the decoder is born again, and the average begins anew with
    the student. All rounds share one budget, each with a learning rate that falls as a whole one's would.
    """

    card = Card(
        "ACTRESS: Active Retraining for Semi-supervised Visual Grounding", "arXiv:2407.03251", 2024,
        slug="actress", world="grounding", baseline={"aspects": "confidence", "share": 1.0, "reborn": "nothing"},
        tags={"self", "average", "labels", "batch"}, tasks=("regress",), forwards=4, tune={"tau": (0.0, 0.15, 0.3, 0.5)},
    )  # fmt: skip

    tau: float = span(0.15, 0, 1)  # least score
    share: float = span(0.5, 0, 1)  # of the rows without a box, at most this many are believed
    aspects: str = choice("all", "confidence")  # what the score is made of
    reborn: str = choice("decoder", "nothing")  # with every selection
    rounds: int = span(2, 1, 100)  # R
    weight: float = span(1.0, 0, 100)  # of the believed boxes
    decay: float = span(0.99, 0, 1)  # of the average

    def players(self, world):
        how, phase = world.player, lambda step: self.round(step, world.steps)
        return {"student": Player(how.optimiser, anew(how.schedule, phase, world.steps), how.clip)}

    def setup(self, world):
        student = world.student()
        pool = Pool(torch.cat([part.y.isnan().any(-1) for part in world.sweep()]))
        return {"student": student, "teacher": freeze(student), "pool": pool}

    def round(self, step, steps):
        """0 ... R-1"""
        return min(step, steps - 1) * self.rounds // max(steps, 1)

    def loss(self, run, batch):
        pool = run["pool"]
        told = pool.box[batch.row].to(batch.y).where(pool.kept[batch.row, None], torch.nan)
        free = batch.y.isnan().any(-1)
        (mild, near), (harsh, far) = weak(batch.x["picture"]), strong(batch.x["picture"])
        picture, view = harsh.where(free[:, None, None, None], mild), far.where(free[:, None], near)
        out = run["student"]({**batch.x, "picture": picture})
        where = lambda y: Batch(y=carried(y[:, None], view)[:, 0])
        return {"hard": run.world.hard(out, where(batch.y)), "pseudo": self.weight * run.world.hard(out, where(told))}

    def judged(self, teacher, student, x):
        """Boxes and their scores; -> [N, 4], [N]"""
        said, other = teacher(x), student(x)["box"]
        score = certainty(said["bins"])
        if self.aspects == "all":
            same = lambda a, b: iou(a[:, None], b[:, None])[:, 0, 0]
            picture, view = weak(x["picture"])
            there = teacher({**x, "picture": picture})["box"]
            back = carried(there[:, None], inverse(view))[:, 0]
            faithful = same(said["box"], middles(said["bins"], picture.shape[-1]))
            score = score * faithful * (same(said["box"], back) + same(said["box"], other)) / 2
        return said["box"], score

    def after_step(self, run, batch):
        ema_(run["teacher"], run["student"], warm(self.decay, run.step))
        if self.round(run.step, run.world.steps) == self.round(run.step + 1, run.world.steps):
            return
        pool = run["pool"]
        parts = [
            self.judged(run["teacher"], run["student"], each(p.x, lambda t: t.to(batch.row.device))) for p in run.world.sweep()
        ]
        pool.take(*(torch.cat(found) for found in zip(*parts, strict=True)), self.tau, self.share)
        if self.reborn == "decoder":
            old, new = run["student"], run.world.student()
            new.load_state_dict({k: v for k, v in old.state_dict().items() if not k.startswith("decoder.")}, strict=False)
            run.renew("student", new)
            ema_(run["teacher"], run["student"], 0.0)

    def result(self, run):
        return run["teacher"]
