"""FST: learning from the future (Du, Shen, Wang, Fei, Li, Wu, Zhao, Fu and Liu, NeurIPS 2022)."""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from understudy.core.card import Card
from understudy.core.method import Method, choice, freeze, register, span
from understudy.parts.divergence import wide
from understudy.parts.ema import ema_
from understudy.parts.mix import class_mask, paste
from understudy.parts.unroll import flat


class Pace(nn.Module):
    """How far the student's last real step went, a number."""

    def __init__(self):
        super().__init__()
        self.register_buffer("length", torch.zeros(()))


@register
class FST(Method):
    r"""A student goes some steps ahead on trial, an average follows it there, and what that average says teaches the student that
    is still here.

        deep: u <- d u + (1 - d) s_k,  s_{k+1} = s_k - g grad L(s_k; u),  k = 0 ... K;  then s learns from u, s_0 = s
        wide: u <- d u + (1 - d) mean_k (s - g grad L_k(s; u)) over K batches;  s learns from u;  u <- d u + (1 - d) s
        L(s; u) = hard(s) + weight mean w CE(argmax u(x_u), s(m)),  m = x_l . M + x_u . (1 - M)

    M holds half of the classes of a labelled picture (ClassMix); w is 1 where M is, and elsewhere the share of pixels that u is
    sure of. What the average has seen ahead stays in it, as in the authors' code. Labels alone begin.

    Shapes: x_l, x_u [N, C, H, W]; s, u [N, K, H, W] logits, class 0 is the background; M, w [N, H, W].
    Departures: a step on trial follows the gradient as far as the last real step went, whatever optimiser made that, and not at
    all before the first; the code lends its own optimiser, whose memory the trials then shape. FST-W peeks at the next K batches.
    No colours are changed and no features of ImageNet kept; decay is for hundreds of steps, the paper's 0.999 for 40,000.
    """

    card = Card(
        "Learning from Future: A Novel Self-Training Framework for Semantic Segmentation", "arXiv:2209.06993", 2022, slug="fst",
        world="touching", baseline={"ahead": 0}, tags={"self", "labels", "batch"}, tasks=("segment",), forwards=8,
        tune={"decay": (0.9, 0.97, 0.99, 0.999)},
    )  # fmt: skip

    look: str = choice("deep", "wide")  # K steps one after the other, or one on each of K batches
    ahead: int = span(3, 0, 16)  # K; 0 is a mean teacher with ClassMix
    weight: float = span(1.0, 0, 100)  # of the mixed pictures
    threshold: float = span(0.968, 0, 1)  # of what is sure
    decay: float = span(0.97, 0, 1)  # d
    pretrain: float = span(0.5, 0, 1)  # share of the budget before the teacher is asked

    def setup(self, world):
        student = world.student()
        return {"student": student, "teacher": freeze(student), "pace": Pace()}

    def source(self, run):
        batch = run.rows()
        if self.look == "wide":
            batch["next"] = {str(k): run.rows(step=run.step + k) for k in range(1, self.ahead + 1)}
        return batch

    def loss(self, run, batch):
        future, u = copy.deepcopy(run["student"]), copy.deepcopy(run["teacher"])
        length = run["pace"].length
        if run.progress < self.pretrain:
            ema_(u, future, 0.0)
        elif self.look == "deep":
            for _ in range(self.ahead):
                ema_(u, future, self.decay)
                tried(future, self.terms(run, future, u, batch), length)
            ema_(u, future, self.decay)
        elif self.ahead:
            for k, rows in enumerate(batch.next.values()):
                one = copy.deepcopy(run["student"])
                tried(one, self.terms(run, one, u, rows), length)
                ema_(future, one, k / (k + 1))
            ema_(u, future, self.decay)
        batch["teacher"], batch["before"] = u.state_dict(), flat(run["student"]).detach()
        return self.terms(run, run["student"], u, batch)

    def terms(self, run, student, u, batch):
        """What a student loses under a teacher."""
        known = (batch.y >= 0).flatten(1).any(1)
        own = known if known.any() else ~known
        l, x = own.nonzero()[:, 0], batch.x[~known] if (~known).any() else batch.x
        l = l[torch.arange(len(x), device=l.device) % len(l)]
        with torch.no_grad():
            top, said = wide(u(x)).softmax(1).max(1)
        mask = class_mask(batch.y[l], 1 + max(int(batch.y.max()), 0))
        mixed, label = paste(batch.x[l], x, mask), paste(batch.y[l], said, mask)
        sure = torch.where(mask, 1.0, (top >= self.threshold).to(top).mean())
        out, m = student(torch.cat([batch.x, mixed])).split([len(batch.x), len(x)])
        each = F.cross_entropy(wide(m), label, reduction="none")
        weight = self.weight if run.progress >= self.pretrain else 0.0
        return {"hard": run.world.hard(out, batch), "mixed": weight * (sure * each).mean()}

    def after_step(self, run, batch):
        run["teacher"].load_state_dict(batch.teacher)
        if self.look == "wide":
            ema_(run["teacher"], run["student"], self.decay)
        run["pace"].length.copy_((flat(run["student"]) - batch.before).norm())

    def result(self, run):
        return run.nets["teacher"]


def tried(net, terms, length):
    """A step of that length down the gradient."""
    own = [p for p in net.parameters() if p.requires_grad]
    slope = torch.autograd.grad(sum(terms.values()), own)
    size = torch.stack([g.square().sum() for g in slope]).sum().sqrt().clamp(min=1e-12)
    with torch.no_grad():
        for p, g in zip(own, slope, strict=True):
            p -= length * g / size
