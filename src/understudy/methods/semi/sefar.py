"""SeFAR: semi-supervised fine-grained action recognition (Huang, Chen, Xu, Jia, Sun and Shao, AAAI 2025)."""

import torch
from torch import nn

from understudy.core.card import Card
from understudy.core.method import Method, choice, freeze, register, span
from understudy.parts.divergence import nll, wide
from understudy.parts.ema import ema_, warm
from understudy.parts.filters import sure
from understudy.parts.mix import cut, paste
from understudy.parts.poses import strongly, weakly
from understudy.parts.schedule import sine_ramp
from understudy.parts.uncertainty import mean_and_spread


class Whole(nn.Module):
    """A network shown clips at both levels; [N, C, T, H, W] -> [N, K]"""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(levels(x))


@register
class SeFAR(Method):
    r"""An average with dropout says what a clip shows and how sure it is; a student is to see the same where part of the clip
    runs backwards, and in two clips of which a tube is exchanged.

        L = hard + w(t) (mean [p >= threshold] r CE(argmax q, s(v)) + tube mean |softmax s(m) - (c q + (1 - c) q')|^2)
        r = 2 sigmoid(e^p - e) 2 (sigmoid(1 / (20 d)) - 1/2),   p = max q,   m = M v + (1 - M) v'

    q is the mean of `times` answers about a weak view, each with other units dropped, d their deviation. Clips are seen at two
    levels, behind one another: every second frame of all, then frames in a row; in v the latter are reversed. M is the same
    in all frames, c its share of them. w is a sine's rise.

    Shapes: x, v, m [N, C, T, H, W]; s, q [N, K]; p, r, d, c [N]; M [N, H, W].
    Departures: any network for clips, where the paper takes a TimeSformer; views are those of `parts.poses` for rows of numbers;
    d is the root of the mean square distance of ten answers from their mean, over all classes. The result is the average.
    Only the labels of reversed clips are regulated, where a summary of the paper has such a weight on mixed ones too. The
    threshold is ours.
    """

    card = Card(
        "SeFAR: Semi-supervised Fine-grained Action Recognition with Temporal Perturbation and Learning Stabilization",
        "arXiv:2501.01245", 2025, slug="sefar", world="clips", baseline={"order": "kept", "regulate": "all", "tube": 0.0},
        tags={"self", "average", "classes", "labels", "batch"}, forwards=2, tune={"weight": (0.3, 1.0, 3.0, 10.0)},
        tasks=("classify",),
    )  # fmt: skip

    weight: float = span(1.0, 0, 1e3)  # of clips without a label
    tube: float = span(1.0, 0, 1e3)  # of exchanged tubes; 0 exchanges none
    order: str = choice("reversed", "kept")  # of the frames in a row, in a strong view
    regulate: str = choice("surer", "all")  # who counts more; 'all' count alike
    threshold: float = span(0.8, 0, 1)  # of the probability that makes a label
    times: int = span(10, 2, 100)  # answers with dropout
    decay: float = span(0.97, 0, 1)  # of the average, when it is warm
    ramp: float = span(0.4, 0, 1)  # share of the budget in which w rises

    def setup(self, world):
        student = world.student()
        return {"student": student, "teacher": freeze(student)}

    def loss(self, run, batch):
        known, x = batch.y >= 0, batch.x
        u = x[~known]
        v = levels(strongly(u), backwards=self.order == "reversed")
        with torch.no_grad():
            said = wide(dropping(run["teacher"])(levels(weakly(u)).repeat(self.times, 1, 1, 1, 1))).softmax(-1)
        dropping(run["teacher"], False)
        q, spread = mean_and_spread(said.unflatten(0, (self.times, -1)))
        share = torch.rand(len(u), device=x.device) if self.tube else torch.ones(len(u), device=x.device)
        mask, c = cut(*x.shape[-2:], share)
        other = torch.arange(len(u), device=x.device).roll(1)
        mixed = paste(v, v[other], mask) if self.tube else v[:0]
        s = run["student"](torch.cat([levels(weakly(x[known])), v, mixed]))
        s, near, tubes = s.split([len(x) - len(u), len(u), len(mixed)])
        weight = self.weight * sine_ramp(run.step, round(self.ramp * run.world.steps))
        each = nll(near, q.argmax(-1), each=True) * sure(q, self.threshold)
        if self.regulate == "surer":
            each = each * trust(q.amax(-1), spread.sqrt())
        c = c[: len(mixed), None]
        target = c * q[: len(mixed)] + (1 - c) * q[other][: len(mixed)]
        off = (wide(tubes).softmax(-1) - target).square()
        return {
            "hard": nll(s, batch.y[known]),
            "pseudo": weight * each.sum() / max(len(u), 1),
            "tube": weight * self.tube * off.sum() / max(off.numel(), 1),
        }

    def after_step(self, run, batch):
        ema_(run["teacher"], run["student"], warm(self.decay, run.step, 2))

    def result(self, run):
        return Whole(run.nets["teacher"])


def levels(x, backwards=False):
    """Every second frame, then frames in a row from the middle, or those backwards; [N, C, T, H, W] -> the same shape"""
    coarse = x[:, :, ::2]
    row = x.shape[2] - coarse.shape[2]
    fine = x[:, :, (row + 1) // 2 : (row + 1) // 2 + row]
    return torch.cat([coarse, fine.flip(2) if backwards else fine], 2)


def trust(p, d):
    """r: 1 where ten answers are sure and the same; [N] twice -> [N]"""
    return 2 * torch.sigmoid(p.exp() - torch.e) * 2 * (torch.sigmoid(1 / (20 * d).clamp(min=1e-6)) - 0.5)


def dropping(net, on=True):
    """A network whose dropout is on, or off again."""
    for m in net.modules():
        if isinstance(m, nn.modules.dropout._DropoutNd):
            m.train(on)
    return net
