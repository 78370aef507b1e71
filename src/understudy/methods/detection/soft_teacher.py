"""Soft Teacher (Xu, Zhang, Hu, Wang, Wang, Wei, Bai and Liu, ICCV 2021)."""

import torch

from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.method import Method, choice, freeze, register, span
from understudy.parts.boxes import assign, candidate_losses, carried, decode, found, inverse, jittered, spread
from understudy.parts.divergence import wide
from understudy.parts.ema import ema_
from understudy.parts.pseudo_boxes import told, two_views


@register
class SoftTeacher(Method):
    r"""A moving-average detector finds objects in a weak view; the student learns them in a strong view, and background as far as
    the teacher believes that it is background.

        L = L_labels + alpha (L_class + L_place)          L_place = 1/M sum_located smooth_L1(b_i)
        L_class = sum_i w_i CE(b_i) / sum_i w_i           w_i = 1 in the foreground, r_i in the background
        r_i = the teacher's probability of background at b_i, carried back to its own view

    A candidate is foreground where it overlaps an object whose score is above `sure`. It learns a place only from objects that
    the teacher places alike from `times` jittered boxes: sigma / ((h + w) / 2) < `steady`, the mean of the four sides.

    Shapes: x [N, C, H, W]; a detector is net(x) or net(x, boxes [N, A, 4]) -> logits [N, A, K+1], offsets and rois [N, A, 4].
    Departures: no proposal network: candidates are the detector's own grid, all of which learn. Every row is seen as unlabelled
    too, and labelled ones as they are. Views zoom and move but don't mirror, turn or shear. Foreground and background share one
    sum of weights, as in the code, a picture at a time; in the paper each has its own, and one false object then weighs as much
    as all background. Else the paper holds: jitter is uniform (in the code normal), spread in units of (h + w) / 2 (of each
    side's own direction), places averaged over located candidates (over all). A run begins with a detector that has learned
    from the labels; the paper's begins with a backbone from ImageNet, and finds its first objects itself.
    """

    card = Card(
        "End-to-End Semi-Supervised Object Detection with Soft Teacher", "arXiv:2106.09018", 2021, slug="soft-teacher",
        world="scenes", baseline={"background": "even", "places": "sure"}, tags={"self", "average"},
        tasks=("detect",), forwards=4, tune={"alpha": (0.5, 1.0, 2.0, 4.0)},
    )  # fmt: skip

    alpha: float = span(4.0, 0, 100)  # weight of what is learned from the teacher
    sure: float = span(0.9, 0, 1)  # score of an object that candidates learn the class of
    maybe: float = span(0.5, 0, 1)  # score of one that they may learn the place of
    steady: float = span(0.02, 0, 10)  # largest spread of a place that is learned
    times: int = span(10, 2, 100)  # boxes around an object that the teacher places again
    jitter: float = span(0.06, 0, 1)  # how far around, in units of its sides
    decay: float = span(0.999, 0, 1)  # of the average
    background: str = choice("soft", "even")  # weights w; 'even' is the mean teacher on thresholded objects
    places: str = choice("steady", "sure")  # objects whose place is learned

    def setup(self, world):
        student = world.student()
        return {"student": student, "teacher": freeze(student)}

    def source(self, run):
        """The teacher's objects, in the weak view and in the strong one."""
        rows = run.rows()
        batch = Batch({**rows, **two_views(rows.x)})
        object = found(run["teacher"](batch.weak), most=8)
        spots = jittered(object["boxes"], self.times, self.jitter).flatten(1, 2)
        again = run["teacher"](batch.weak, spots)
        placed = decode(again["offsets"], again["rois"]).unflatten(1, (self.times, -1))
        boxes = told(object["boxes"], batch.way, batch.strong)
        return Batch({**batch, **object, "boxes": boxes, "spread": spread(placed)})

    def loss(self, run, batch):
        n = len(batch.x)
        s = run["student"](torch.cat([batch.x, batch.strong]))
        known, u = ({k: v[part] for k, v in s.items()} for part in (slice(n), slice(n, None)))
        rois, none = u["rois"].detach(), u["logits"].shape[-1] - 1
        sure = batch.scores > self.sure
        steady = sure if self.places == "sure" else (batch.scores > self.maybe) & (batch.spread < self.steady)
        labels, _ = assign(rois, batch.boxes, batch.labels.where(sure, none), none)
        there, boxes = assign(rois, batch.boxes, batch.labels.where(steady, none), none)
        weight = torch.ones_like(rois[..., 0])
        if self.background == "soft":
            with torch.no_grad():
                believed = wide(run["teacher"](batch.weak, carried(rois, inverse(batch.way)))["logits"]).softmax(-1)[..., -1]
            weight = torch.where(labels < none, 1, believed)
        classes, places = candidate_losses(u, labels, weight, boxes, there < none)
        hard = run.world.hard(known, batch)
        return {"hard": hard, "classes": self.alpha * classes.mean(), "places": self.alpha * places.mean()}

    def after_step(self, run, batch):
        ema_(run["teacher"], run["student"], self.decay)
