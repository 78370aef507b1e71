"""LSSKD: layered self-supervised knowledge distillation (Dahri, Memon, Yu and others, 2025)."""

import torch
from torch import nn

from understudy.core.card import Card
from understudy.core.method import Method, at, freeze, register, span
from understudy.core.taps import probe
from understudy.parts.divergence import kl, nll
from understudy.parts.match import every
from understudy.parts.poses import pictures, posed
from understudy.parts.project import pooled


class Layered(nn.Module):
    """A network and its auxiliary classifiers, each behind a stage; [N, ...] -> [N, C], which is the network's own"""

    def __init__(self, inner, stages, classes):
        super().__init__()
        self.inner = inner
        self.heads = nn.ModuleList(behind(f, classes) for f in stages)

    def forward(self, x):
        return self.inner(x)


def behind(f, classes):
    """A classifier for features like f [N, D, H, W], or [N, ..., D]"""
    d = f.shape[1] if f.dim() == 4 else f.shape[-1]
    if f.dim() != 4:
        return nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, classes))
    bend = nn.Sequential(nn.Conv2d(d, 2 * d, 3, padding=1), nn.GELU())
    return nn.Sequential(bend, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(8 * d, classes))


@register
class LSSKD(Method):
    r"""Classifiers behind every stage tell class and pose of a turned picture at once, and each learns besides what its equal,
    and the network's own head, said an epoch ago.

        L = CE(y, s) + mean_l CE((y, j), c_l(t_j x)) + a_e T^2 (KL(s' || s) + mean_l KL(c_l' || c_l))
            + cross T^2 mean_{l < M} KL(c_M || c_l)

    t_j turns x by j quarters, j = 0 ... 3, and (y, j) is one of 4 C labels. s', c' are the network and its classifiers as they
    were at the end of the epoch before; a_e rises from 0 in the first epoch to `past` in the last. The last of M stages teaches
    the earlier ones. At the end the classifiers are thrown away.

    Shapes: x [N, ..., H, W]; s [N, C] logits; c_l [4 N, 4 C] logits of all poses; y [N]. KL is of softmax(./T).
    Departures: of this paper we could read the abstract and summaries, which name auxiliary classifiers on labels of class and
    transformation, a transfer one to one between stages and epochs, and KL between layers; the weights, the rise (as in PS-KD)
    and the direction between layers are ours. No squared distance of features. A classifier is one
    convolution, means over quarters (of small pictures the mean over all tells too little) and a linear layer. Squares are
    turned, other pictures mirrored, and rows that are no pictures have one pose.
    """

    card = Card(
        "A Layered Self-Supervised Knowledge Distillation Framework for Efficient Multimodal Learning on the Edge",
        "arXiv:2506.07055", 2025, slug="lsskd", world="figures", baseline="ps-kd", forwards=2,
        tags={"self", "classes", "labels", "taps"}, tune={"past": (0.0, 0.3, 1.0, 3.0)},
    )  # fmt: skip

    past: float = span(1.0, 0, 1e3)  # weight of what was said an epoch ago, in the last epoch
    cross: float = span(1.0, 0, 1e3)  # weight of the last classifier teaching the earlier ones
    t: float = span(3.0, 1e-2, 100)  # temperature
    at: str = at("stages", "student")

    def setup(self, world):
        student, x = world.student(), world.rows(0).x
        stages = every(probe(student, self.at, x))
        with torch.no_grad():
            classes = student(x).shape[-1]
        student = Layered(student, stages, classes * (4 if pictures(x) else 1))
        return {"student": student, "past": freeze(student)}

    def loss(self, run, batch):
        turned, n, t = pictures(batch.x), len(batch.x), self.t
        pose = torch.arange(4 if turned else 1, device=batch.x.device).repeat_interleave(n)
        x = posed(batch.x.repeat(4, 1, 1, 1), pose) if turned else batch.x
        s, c = self.said(run, "student", x, n)
        y = batch.y.repeat(len(pose) // n)
        label = torch.where(y >= 0, s.shape[-1] * pose + y, -1)
        terms = {"hard": run.world.hard(s, batch), "aux": sum(nll(one, label) for one in c) / len(c)}
        if len(c) > 1:
            terms["cross"] = self.cross * sum(kl(c[-1].detach(), one, t) for one in c[:-1]) / (len(c) - 1)
        if a := self.share(run):
            s_past, c_past = self.said(run, "past", x, n)
            terms["past"] = a * (kl(s_past, s, t) + sum(kl(u, one, t) for u, one in zip(c_past, c, strict=True)) / len(c))
        return terms

    def said(self, run, name, x, n):
        """What a network says of the first n rows, and its classifiers of all; -> [n, C], [4 n, 4 C] a stage"""
        s, stages = run.tap(name, self.at, x)
        return s[:n], [head(f if f.dim() == 4 else pooled(f)) for head, f in zip(run[name].heads, every(stages), strict=True)]

    def share(self, run):
        """a_e; -> float"""
        done, epochs = run.step // run.world.epoch, -(-run.world.steps // run.world.epoch)
        return self.past * min(done / max(epochs - 1, 1), 1.0)

    def after_step(self, run, batch):
        if (run.step + 1) % run.world.epoch == 0:
            run["past"].load_state_dict(run["student"].state_dict())

    def result(self, run):
        return run.nets["student"].inner
