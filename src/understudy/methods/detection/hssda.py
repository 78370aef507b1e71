"""HSSDA: hierarchical supervision and shuffle data augmentation (Liu, Gao, Liu, Li, Meng and Gao, CVPR 2023)."""

import torch
from torch import nn

from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.method import Method, choice, freeze, register, span
from understudy.parts.boxes import carried, iou
from understudy.parts.clusters import two_means
from understudy.parts.ema import ema_
from understudy.parts.points import inside, orders, thinned_out, turned, without
from understudy.parts.pseudo_boxes import others, read_twice, weighted
from understudy.parts.schedule import ramp


class Thresholds(nn.Module):
    """High and low ones of each class and each of three measures, at [K, 3, 2]; at first nearly all is below."""

    def __init__(self, classes):
        super().__init__()
        self.register_buffer("at", torch.tensor([0.99, 0.95, 0.93])[:, None].repeat(classes, 1, 2))


@register
class HSSDA(Method):
    r"""What a teacher finds is learned as it is, learned with a weight, or taken out of the scene, by two thresholds a class
    that right answers on labelled scenes set; and the student sees unlabelled scenes with their quarters shuffled.

        L = L_labels + alpha L_det(s; w)      w_i = 1 where m_i > h, c_i r_i where m_i > l but not h, else 0
        h, l = the centres of 2-means of { m_j : class k, overlap of b_j with a true box at least 0.5 }

    m = (c, r, a) must pass with all three: c is the score of a box read again, r that of the candidate it came from (the RoI),
    a the largest overlap of the box with one found in a mirrored and zoomed view. h and l [K, 3] are a class's own, from the
    labelled scenes, anew after `every` steps. Points of unlabelled scenes are removed that lie in candidates with a score above
    `least` apart from all objects with w > 0. The rest is thinned, mirrored and zoomed, its quarters change places, and
    features of quarters are put back before they are read. The average's decay rises linearly from 0.5 to `decay` over `rise`
    steps.

    Shapes: x [N, P, 3] points; m [N, M, 3]; w [N, M]; a detector is net(x, boxes [N, A, 4], order [N, 4]) -> logits, offsets,
    rois.
    Departures: flat scenes and boxes along the axes, so views don't rotate. No proposal network: the one head reads candidates,
    then the boxes it found. Objects above h are found in each step, in the code once an epoch. The code leaves out pedestrians
    between l and h, and pools all overlaps a > 0 of a labelled scene. `every`, `rise` and `decay` are for a short run.
    """

    card = Card(
        "Hierarchical Supervision and Shuffle Data Augmentation for 3D Semi-Supervised Object Detection", "arXiv:2304.01464",
        2023, slug="hssda", world="yards", baseline={"threshold": "fixed", "shuffle": "none"}, forwards=9,
        tags={"self", "average", "labels"}, tasks=("detect",), tune={"alpha": (0.5, 1.0, 2.0, 4.0)},
    )  # fmt: skip

    alpha: float = span(1.0, 0, 100)  # weight of what is learned from the teacher
    threshold: str = choice("dual", "fixed")  # 'fixed': objects with c above `fixed` are learned, and nothing is removed
    shuffle: str = choice("quarters", "none")  # of unlabelled scenes
    fixed: float = span(0.7, 0, 1)  # the threshold of 'fixed'
    ground: float = span(5.0, 0, 1000)  # what background counts against objects, as with true labels
    least: float = span(0.1, 0, 1)  # score of what may be an object
    every: int = span(20, 1, 10**6)  # steps between new thresholds
    thin: float = span(0.1, 0, 1)  # share of points that the student doesn't see
    rise: int = span(30, 0, 10**6)  # steps in which the decay rises
    decay: float = span(0.98, 0, 1)  # of the average

    def setup(self, world):
        student = world.student()
        teacher = freeze(student)
        thresholds = Thresholds(teacher(world.rows(0).x[:1])["logits"].shape[-1] - 1)
        self.renew(thresholds, teacher, world.sweep())
        return {"student": student, "teacher": teacher, "thresholds": thresholds}

    def objects(self, net, x):
        """boxes [N, M, 4], labels [N, M] and measures c, r, a [N, M, 3] of what a network finds, and all its candidates"""
        seen, view = turned(x, mirror=1.0)
        (object, out), (other, _) = read_twice(net, x, most=8), read_twice(net, seen, most=8)
        same = iou(carried(object["boxes"], view), other["boxes"]) * (other["again"] > self.least)[:, None]
        return {**object, "m": torch.stack([object["again"], object["first"], same.amax(-1)], -1)}, out

    def renew(self, thresholds, net, sweep):
        """The thresholds from labelled scenes; of a class or measure with fewer than three values they stay as they are."""
        for rows in sweep:  # the labelled ones lie in one batch of it, or each batch has its say
            if not (known := (rows.y["labels"] >= 0).all(1)).any():
                continue
            object, _ = self.objects(net, rows.x[known])
            right = (iou(object["boxes"], rows.y["boxes"][known]).amax(-1) >= 0.5) & (object["m"][..., 0] > self.least)
            for k, at in enumerate(thresholds.at):
                for which, values in enumerate(object["m"][right & (object["labels"] == k)].T):
                    if (values > 0).sum() > 2:
                        at[which] = torch.stack(two_means(values[values > 0])).flip(0)

    def weights(self, object, thresholds):
        """w [N, M]"""
        c, r, _ = object["m"].unbind(-1)
        if self.threshold == "fixed":
            return (c > self.fixed).to(c)
        above = (object["m"][..., None] > thresholds.at[object["labels"]].to(c)).all(-2)  # the high ones, the low ones
        return torch.where(above[..., 0], 1, c * r * above[..., 1])

    def source(self, run):
        rows = run.rows()
        hidden = (rows.y["labels"] < 0).any(1)
        object, out = self.objects(run["teacher"], rows.x)
        w, x = self.weights(object, run["thresholds"]), rows.x
        if self.threshold == "dual":
            x = without(x, inside(x, *others(out, object["boxes"], w > 0, self.least)) & hidden[:, None])
        strong, view = turned(thinned_out(x, self.thin), 0.2, 0.1)
        order = orders(hidden & (self.shuffle == "quarters"))
        y = {**rows.y, "boxes": carried(rows.y["boxes"], view).clamp(0, 1)}
        object["boxes"] = carried(object["boxes"], view).clamp(0, 1)
        return Batch({**rows, **object, "y": y, "w": w, "strong": strong, "order": order, "hidden": hidden})

    def loss(self, run, batch):
        out = run["student"](batch.strong, None, batch.order)
        hard, (classes, places) = run.world.hard(out, batch), weighted(out, batch.boxes, batch.labels, batch.w, self.ground)
        of = self.alpha * batch.hidden
        return {"hard": hard, "classes": (of * classes).mean(), "places": (of * places).mean()}

    def after_step(self, run, batch):
        ema_(run["teacher"], run["student"], 0.5 + (self.decay - 0.5) * ramp(run.step, self.rise))
        if (run.step + 1) % self.every == 0:
            self.renew(run["thresholds"], run["teacher"], (rows.to(run.device) for rows in run.world.sweep()))
