"""LPLD: low-confidence pseudo-label distillation (Yoon, Kwon, Kim and Yoon, ECCV 2024)."""

import torch.nn.functional as F

from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.method import Method, at, freeze, register, span
from understudy.parts.boxes import carried, decode, found, iou
from understudy.parts.divergence import wide
from understudy.parts.ema import epoch_ema_
from understudy.parts.pseudo_boxes import learned, told, two_views


@register
class LPLD(Method):
    r"""In a new domain the student also learns from what its teacher isn't sure to be an object, if it is sure which one it
    would be.

        L = L_det(s; H) + alpha 1/|P| sum_{i in P} (1 - cos(f_i, g_i)) KL(q_i || p_i)

    H are objects of the teacher with a score above `sure`. P are candidates that overlap none of them by more than `apart`,
    whose likeliest class has at least `clear` among the classes (softmax without the background), and whose background has at
    most `ground`. q_i is the teacher's softmax without the background, to which the student's p_i, with background, is drawn: an
    object it would have missed is to come forward. f_i, g_i are the features of both: who sees the object as the teacher does
    needs no more teaching. The teacher, moved an epoch at a time, sees a weak view, the student a strong one.

    Shapes: p, q [N, A, K+1]; f, g [N, A, D]; a detector is net(x, candidates [N, A, 4]) -> logits, offsets and rois.
    Departures: no proposal network: candidates are the teacher's own grid, carried into the student's view. P is taken a picture
    at a time also where a batch has several. An epoch is a tenth of the run, which had ten. In the code 1/10 stands for alpha.
    """

    card = Card(
        "Enhancing Source-Free Domain Adaptive Object Detection with Low-confidence Pseudo Label Distillation",
        "arXiv:2407.13524", 2024, slug="lpld", world="foggy", baseline={"alpha": 0.0}, tags={"self", "average", "taps"},
        tasks=("detect",), tune={"alpha": (0.03, 0.1, 0.3, 1.0)},
    )  # fmt: skip

    alpha: float = span(0.1, 0, 1e3)  # weight of what is unsure; 0 is the mean teacher on sure objects
    sure: float = span(0.7, 0, 1)  # score of an object that counts as a label
    apart: float = span(0.4, 0, 1)  # overlap with one of those, above which a candidate is that object
    clear: float = span(0.9, 0, 1)  # least probability of a class among the classes
    ground: float = span(0.99, 0, 1)  # largest of the background
    decay: float = span(0.75, 0, 1)  # of the average, an epoch at a time
    epochs: int = span(10, 1, 10**6)  # of a run
    at: str = at("penultimate", "student", "teacher")  # features of a candidate

    def setup(self, world):
        student = world.student()
        return {"student": student, "teacher": freeze(student)}

    def source(self, run):
        """Candidates, the sure objects among them, and which of the others are taught; boxes in the student's view."""
        rows = run.rows()
        batch = Batch({**rows, **two_views(rows.x)})
        out, features = run.tap("teacher", self.at, batch.weak)
        object = found(out, most=8)
        sure = object["scores"] > self.sure
        logits, offsets = wide(out["logits"]), wide(out["offsets"])
        ground = logits.argmax(-1, keepdim=True) == logits.shape[-1] - 1
        place = wide(out["rois"]).where(ground, decode(offsets, wide(out["rois"])))
        near = (iou(place, object["boxes"]) * sure[:, None]).amax(-1) > self.apart
        clear = (logits[..., :-1].softmax(-1).amax(-1) >= self.clear) & (logits.softmax(-1)[..., -1] <= self.ground)
        batch.update(object, sure=sure, boxes=told(object["boxes"], batch.way, batch.strong))
        batch.update(rois=carried(out["rois"], batch.way), features=features, teacher=logits[..., :-1])
        return Batch({**batch, "unsure": clear & ~near & sure.any(1, keepdim=True)})

    def loss(self, run, batch):
        out, f = run.tap("student", self.at, batch.strong, batch.rois)
        classes, places = learned(out, batch.boxes, batch.labels, batch.sure)
        q, log_p = batch.teacher.log_softmax(-1), wide(out["logits"]).log_softmax(-1)[..., :-1]
        unlike = 1 - F.cosine_similarity(wide(f.detach()), wide(batch.features), dim=-1)
        pull = unlike * (q.exp() * (q - log_p)).sum(-1) * batch.unsure
        unsure = (pull.sum(1) / batch.unsure.sum(1).clamp(min=1)).mean()
        return {"classes": classes.mean(), "places": places.mean(), "unsure": self.alpha * unsure}

    def after_step(self, run, batch):
        epoch_ema_(run["teacher"], run["student"], self.decay, run.step, max(run.world.steps // self.epochs, 1))
