"""NSA: network stability analysis (Zhou, Fan, Wang, Luo and Zhang, ICCV 2023)."""

import torch
import torch.nn.functional as F

from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.method import Method, at, freeze, register, span
from understudy.parts.augment import noisy, recoloured
from understudy.parts.boxes import assign, carried, found
from understudy.parts.contrast import by_label
from understudy.parts.divergence import wide
from understudy.parts.ema import ema_
from understudy.parts.prototypes import soft_means
from understudy.parts.pseudo_boxes import learned, told, two_views
from understudy.parts.relation import unit


@register
class NSA(Method):
    r"""A detector that is to work elsewhere must be stable: it says the same of a picture heavily disturbed, and sees the same in
    it lightly disturbed, and in objects of one class.

        L = L_det(s(x'), y') + L_det(s(x_heavy); H) + light (2 d(F, G) + d(f, g) + 0.1 d(p, q) + 0.1 L_inst)
        L_inst = - log ( e^{f_i c_y} / (sum_{k<K} e^{f_i c_k} + 0.1 e^{f_i c_K}) )

    (x', y') are labelled pictures of the source domain. The average answers about x as it is: H are its objects with a score
    above `sure`. x_heavy is relit, noisy, partly hidden, of another size and place; x_light a little relit and noisy. d is the
    mean squared difference where objects are: of the student's map F and the average's G, cells in a box of H; of features f, g
    and of outputs p and q (class probabilities and offsets), candidates that stand for one. Maps and features are normalised,
    channel by channel of a picture. L_inst draws an object to c_y, the average's mean feature of its class, away from those of
    other classes and, less so, of the background, c_K.

    Shapes: F, G [N, C, h, w]; f, g [N, A, D]; p, q [N, A, K+5]; a detector is net(x, candidates) -> logits, offsets, rois.
    Departures: one softmax for the code's two means over negatives, each against the positive alone, whose weights (1 and 0.1)
    it keeps. Of the code's three kinds of cells by texture all count alike. Weights of terms are the code's; it trains in three
    stages, of which this is the last. No proposal network: candidates are the average's own grid.
    """

    card = Card(
        "Unsupervised Domain Adaptive Detection with Network Stability Analysis", "arXiv:2308.08182", 2023, slug="nsa-uda",
        world="foggy", baseline={"light": 0.0}, tags={"self", "average", "taps", "batch"}, tasks=("detect",),
        tune={"light": (0.06, 0.2, 0.6, 2.0)},
    )  # fmt: skip

    light: float = span(0.6, 0, 1e3)  # weight of light disturbances and of instances; 0 is a mean teacher beside labels
    sure: float = span(0.7, 0, 1)  # score of an object that counts as a label
    colour: float = span(0.1, 0, 1)  # of contrast and brightness, lightly disturbed
    noise: float = span(0.05, 0, 10)
    decay: float = span(0.97, 0, 1)  # of the average
    at: tuple[str, ...] = at(("stage:-1", "penultimate"), "student", "teacher")  # map, features of a candidate

    def setup(self, world):
        student = world.student()
        return {"student": student, "teacher": freeze(student)}

    def source(self, run):
        rows = run.rows()
        batch = Batch({**rows, **two_views(rows.x)})
        out, (g_map, g) = run.tap("teacher", self.at, batch.weak)
        object, rois = found(out, most=8), out["rois"]
        sure, none = object["scores"] > self.sure, out["logits"].shape[-1] - 1
        stands, _ = assign(rois, object["boxes"], object["labels"].where(sure, none), none)
        batch.update(object, sure=sure, stands=stands, g_map=g_map, g=g, q=outputs(out), grid=rois)
        batch.update(light=noisy(recoloured(batch.weak, self.colour), self.noise))
        batch.update(boxes=told(object["boxes"], batch.way, batch.strong))
        batch.update(rois=carried(rois, batch.way), inside=cells(object["boxes"], sure, g_map, batch.x))
        batch["source"] = run.rows("source")
        return batch

    def loss(self, run, batch):
        x, rois = batch.source.x, batch.grid
        out, (maps, features) = run.tap("student", self.at, torch.cat([x, batch.strong, batch.light]),
                                        torch.cat([rois[:1].expand(len(x), -1, -1), batch.rois, rois]))  # fmt: skip
        n = len(x), len(batch.x), len(batch.x)
        clear, heavy, light = ({k: v.split(n)[i] for k, v in out.items()} for i in range(3))
        classes, places = learned(heavy, batch.boxes, batch.labels, batch.sure)
        f_map, f = maps[-n[2] :], features[-n[2] :]
        none = light["logits"].shape[-1] - 1
        object = batch.stands < none
        calm = 2 * apart(level(f_map.movedim(1, -1).flatten(1, 2)), level(batch.g_map.movedim(1, -1).flatten(1, 2)), batch.inside)
        calm = calm + apart(level(f), level(batch.g), object) + 0.1 * apart(outputs(light), batch.q, object)
        centres = unit(soft_means(unit(batch.g).flatten(0, 1), F.one_hot(batch.stands.flatten(), none + 1).to(wide(f))))
        there, kind = centres.any(1), torch.arange(none + 1, device=f.device)
        share = torch.where(kind == none, 0.1, 1.0)[there]
        same = by_label(unit(f[object]), batch.stands[object], centres[there], kind[there], 1.0, share)
        return {"hard": run.world.hard(clear, batch.source), "classes": classes.mean(), "places": places.mean(),
                "calm": self.light * calm, "instances": 0.1 * self.light * same}  # fmt: skip

    def after_step(self, run, batch):
        ema_(run["teacher"], run["student"], self.decay)


def outputs(out):
    """[N, A, K+1] and [N, A, 4] -> [N, A, K+5]"""
    return torch.cat([wide(out["logits"]).softmax(-1), wide(out["offsets"])], -1)


def level(x, eps=1e-5):
    """Each channel of a picture at mean 0 and variance 1; [N, L, D] -> [N, L, D]"""
    return F.instance_norm(wide(x).mT, eps=eps).mT


def apart(a, b, where):
    """Mean squared difference there, 0 where nothing is; [N, L, D] twice, [N, L] bool -> []"""
    return ((a - b).square().mean(-1) * where).sum() / where.sum().clamp(min=1)


def cells(boxes, sure, like, x):
    """Which cells of a map of the pictures x have their middle in a sure box; [N, M, 4], [N, M], [N, C, h, w] -> [N, h w] bool"""
    h, w = like.shape[-2:]
    down, right = ((torch.arange(n, device=x.device) + 0.5) * side / n for n, side in ((h, x.shape[-2]), (w, x.shape[-1])))
    y, x = torch.meshgrid(down, right, indexing="ij")
    x0, y0, x1, y1 = (side[..., None] for side in boxes.unbind(-1))
    within = (x.flatten() > x0) & (x.flatten() < x1) & (y.flatten() > y0) & (y.flatten() < y1)
    return (within & sure[..., None]).any(1)
