"""ReMixMatch (Berthelot, Carlini, Cubuk, Kurakin, Sohn, Zhang and Raffel, ICLR 2020)."""

import torch
from torch import nn

from understudy.core.card import Card
from understudy.core.method import Method, at, register, span
from understudy.core.taps import probe
from understudy.parts.divergence import nll, soft_cross_entropy, wide
from understudy.parts.labels import told
from understudy.parts.mix import mixed_up
from understudy.parts.poses import pictures, posed, strongly, weakly
from understudy.parts.project import pooled
from understudy.parts.schedule import ramp
from understudy.parts.sharpen import Alignment, sharpened


@register
class ReMixMatch(Method):
    r"""Labels guessed from a weak view are aligned with how frequent classes are, and learned in strong views, mixed and not.

        q = sharpen(align(softmax s(w), p_y), t)
        L = mean_X' CE(y', s(x')) + r weight mean_U' CE(q', s(u')) + r first mean CE(q, s(v_1)) + poses mean CE(a, h(f(a v_1)))

    X', U' are labelled rows in strong views, and v_1 ... v_K and w, mixed with all of them in another order. align(p, p_y) is
    p p_y / (mean p of the last 128 batches), over its sum; p_y the classes' shares of the labelled rows. h tells from the
    features f in which of four poses a the picture a v_1 is. r rises in a straight line.

    Shapes: w, v_k a weak and K strong views of unlabelled rows [N, ...]; s [N, C] logits; q, q', y' [N, C]; f [N, D]; a [N].
    Departures: strong views are those of `parts.poses`, not learned while training (CTAugment), and K is 2, the audio
    comparison's, where the paper has 8. Square pictures are turned by quarters, others mirrored in both directions, as there;
    rows that aren't pictures have no poses. No moving average is taken for the result. mixup = 0 leaves rows unmixed.
    """

    card = Card(
        "ReMixMatch: Semi-Supervised Learning with Distribution Alignment and Augmentation Anchoring", "arXiv:1911.09785", 2020,
        world="utterances", baseline={"weight": 0.0, "first": 0.0, "poses": 0.0, "mixup": 0.0}, forwards=2,
        tags={"self", "classes", "labels", "batch", "taps"}, tune={"weight": (0.3, 0.75, 1.5, 3.0)},
    )  # fmt: skip

    weight: float = span(1.5, 0, 1e3)  # of the mixed rows without a label
    first: float = span(0.5, 0, 1e3)  # of one strong view as it is
    poses: float = span(0.5, 0, 1e3)  # of telling how a picture is turned
    views: int = span(2, 1, 16)  # K, strong ones
    t: float = span(0.5, 1e-2, 1)  # temperature; 1 leaves guesses as they are
    mixup: float = span(0.75, 0, 10)  # both parameters of Beta; 0 mixes nothing
    ramp: float = span(0.25, 0, 1)  # share of the budget in which the weights of guesses rise
    at: str = at("penultimate", "student")

    def setup(self, world):
        student, x = world.student(), world.rows(0).x
        with torch.no_grad():
            classes, width = student(x).shape[-1], pooled(probe(student, self.at, x)).shape[-1]
        known = torch.cat([part.y[part.y >= 0] for part in world.sweep()])
        count = torch.bincount(known, minlength=classes) if len(known) else torch.ones(classes)
        nets = {"student": student, "alignment": Alignment(count / count.sum())}
        return nets | ({"poses": nn.Linear(width, 4)} if pictures(x) else {})

    def loss(self, run, batch):
        known = batch.y >= 0
        x, u = strongly(batch.x[known]), batch.x[~known]
        w, v = weakly(u), torch.cat([strongly(u) for _ in range(self.views)])
        with torch.no_grad():
            p = wide(run["student"](w)).softmax(-1)
            q = sharpened(run["alignment"](p), self.t)
        batch["said"] = p.mean(0, keepdim=True) if len(p) else p
        target = torch.cat([told(batch.y[known], p.new_zeros(len(x), p.shape[-1])), q.repeat(self.views + 1, 1)])
        rows, target = mixed_up((torch.cat([x, v, w]), target), self.mixup)
        one, turned = v[: len(u)], pictures(batch.x)
        pose = torch.randint(4, (len(u),), device=u.device)
        s, f = run.tap("student", self.at, torch.cat([rows, one, *([posed(one, pose)] if turned else [])]))
        n, m = len(x), len(rows)
        r = ramp(run.step, round(self.ramp * run.world.steps))
        terms = {
            "hard": soft_cross_entropy(target[:n], s[:n]),
            "guessed": r * self.weight * soft_cross_entropy(target[n:], s[n:m]),
            "first": r * self.first * soft_cross_entropy(q, s[m : m + len(u)]),
        }
        if turned:
            terms["poses"] = self.poses * nll(run["poses"](pooled(f[m + len(u) :])), pose)
        return terms

    def after_step(self, run, batch):
        run["alignment"].add(batch.said)
