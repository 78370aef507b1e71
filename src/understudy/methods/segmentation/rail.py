"""RAIL: region-aware instructive learning (Zhao, Huang, Guo, Shen, Zhou, Liu and Yu, 2025)."""

import torch
from torch import nn

from understudy.core.card import Card
from understudy.core.method import Method, freeze, register, span
from understudy.parts.dice import dice
from understudy.parts.divergence import wide
from understudy.parts.ema import ema_, warm
from understudy.parts.schedule import sigmoid_ramp
from understudy.parts.sharpen import sharpened

GROUPS = {"teacher": ("student", "partner"), "teacher2": ("student2", "partner2")}  # of each, the first is averaged
STUDENTS = tuple(name for group in GROUPS.values() for name in group)


class Together(nn.Module):
    """Mean probabilities of several networks, as logits; [N, ...] -> [N, K, ...]"""

    def __init__(self, nets):
        super().__init__()
        self.nets = nn.ModuleList(nets)

    def forward(self, x):
        return torch.stack([wide(net(x)).log_softmax(1) for net in self.nets]).logsumexp(0)


@register
class RAIL(Method):
    r"""Two groups of two students, each group under an average of its own, learn in turns, and each student minds where it
    disagrees with whichever of the four is best at the labels.

        b = the student of least Dice loss;  D_i = [argmax s_i != argmax s_b], everywhere for b itself;  E_i = [argmax s_i != y]
        L_i = hard + focus mean_{D_i E_i} |p_i - y|^2 + agree w(t) R_i
        R_i = guide |p_i - q_u|^2 + |p_i - q_b|^2 + modest mean_{D_i} KL(1/K || p_i)

    p_i = softmax s_i, and q the surer p^(1/T) over its sum, of the group's average u and of b; the first mean is over labelled
    pixels, R_i is over unlabelled pictures, and b learns nothing from itself. A pixel of D_i is to be less sure.

    Shapes: s_i, u [N, K, H, W] logits; y [N, H, W], -1 hidden; D, E [N, H, W].
    Departures: all students are built alike, where two of four are V-Nets and two residual. |.|^2 is a mean over classes, and
    there is one term on wrong and disputed pixels, as in the abstract; the code adds one on all disputed pixels, and takes
    a KL along the width of the picture for this one. A group's turn is some steps, not epochs, so that each student
    learns in half of them. The teachers are in evaluation mode; the result is all four together. Pictures are flat.
    """

    card = Card(
        "RAIL: Region-Aware Instructive Learning for Semi-Supervised Tooth Segmentation in CBCT", "arXiv:2505.03538", 2025,
        slug="rail", world="touching", baseline={"focus": 0.0, "modest": 0.0}, forwards=5, tasks=("segment",),
        tags={"self", "average", "game", "labels", "batch"}, tune={"agree": (0.3, 1.0, 5.0, 20.0)},
    )  # fmt: skip

    focus: float = span(0.5, 0, 1e3)  # weight of pixels that are wrong and disputed
    agree: float = span(20.0, 0, 1e3)  # of the best student
    guide: float = span(0.5, 0, 100)  # of the group's average, in units of that
    modest: float = span(0.1, 0, 100)  # of being less sure where the two disagree, likewise
    t: float = span(0.1, 1e-2, 1)  # T
    ramp: float = span(0.4, 0, 1)  # share of the budget in which w rises
    decay: float = span(0.97, 0, 1)  # of the averages, when they are warm; 0.999 for thousands of steps
    turn: int = span(1, 1, 10**6)  # steps of a group before the other one's

    def players(self, world):
        return dict.fromkeys(STUDENTS, world.player)

    def setup(self, world):
        students = {name: world.student() for name in STUDENTS}
        return students | {teacher: freeze(students[group[0]]) for teacher, group in GROUPS.items()}

    def now(self, run):
        """Whose turn it is: an average, and its students."""
        return list(GROUPS.items())[run.step // self.turn % 2]

    def loss(self, run, batch):
        teacher, group = self.now(run)
        out = {}
        for name in STUDENTS:
            with torch.set_grad_enabled(name in group):
                out[name] = wide(run[name](batch.x))
        known, said = batch.y >= 0, {name: s.argmax(1) for name, s in out.items()}
        best = min(STUDENTS, key=lambda name: dice(out[name].detach(), batch.y, known).item())
        u = ~known.flatten(1).any(1)
        with torch.no_grad():
            guide = sharpened(wide(run[teacher](batch.x[u])).movedim(1, -1).softmax(-1), self.t)
            example = sharpened(out[best][u].movedim(1, -1).softmax(-1), self.t)
        weight = self.agree * sigmoid_ramp(run.step, round(self.ramp * run.world.steps))

        def of(name):
            log_p, own = out[name].movedim(1, -1).log_softmax(-1), name != best
            p, disputed = log_p.exp(), said[name] != said[best] if own else torch.ones_like(known)
            true = nn.functional.one_hot(batch.y.clamp(min=0), p.shape[-1]).to(p)
            wrong = known & disputed & (said[name] != batch.y)
            flatter = -log_p[u].mean(-1) - torch.tensor(float(p.shape[-1])).log()
            terms = {
                "hard": run.world.hard(out[name], batch),
                "focus": self.focus * over(wrong, (p - true).square().mean(-1)),
                "guide": self.guide * weight * over(u[u], (p[u] - guide).square().mean((1, 2, 3))),
            }
            if own:
                terms["agree"] = weight * over(u[u], (p[u] - example).square().mean((1, 2, 3)))
                terms["modest"] = self.modest * weight * over(disputed[u], flatter)
            return terms

        return {name: of(name) for name in group}

    def after_step(self, run, batch):
        teacher, group = self.now(run)
        ema_(run[teacher], run[group[0]], warm(self.decay, run.step // 2, 2))

    def result(self, run):
        return Together([run.nets[name] for name in STUDENTS])


def over(where, value):
    """Mean over the places of a mask, 0 where there are none."""
    return (where * value).sum() / where.sum().clamp(min=1)
