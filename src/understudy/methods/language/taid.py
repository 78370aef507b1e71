"""TAID: temporally adaptive interpolated distillation (Shing, Misaki, Bao, Yokoi and Akiba, ICLR 2025)."""

import torch
from torch import nn

from understudy.core.card import Card
from understudy.core.method import Method, register, span
from understudy.parts.divergence import kl


class Course(nn.Module):
    """How far the target has come: t, the loss of the step before (infinite at first), and the momentum of its relative fall."""

    def __init__(self, t):
        super().__init__()
        self.register_buffer("t", torch.tensor(float(t)))
        self.register_buffer("before", torch.tensor(torch.inf))
        self.register_buffer("momentum", torch.tensor(0.0))


@register
class TAID(Method):
    r"""The target begins near the student and moves to the teacher, the faster the better the student follows.

        L = KL(p_t || s),    p_t = softmax((1 - t) sg(z_s) + t z_u)
        m = b m + (1 - b) (L_before - L) / L_before
        t = min(t_end, max(t_start + (t_end - t_start) step / steps, t + alpha sigmoid(m) (1 - t)))

    Near the student there is little to be averaged over, later little to collapse to: the gap in size is crossed in small steps.

    Shapes: z_s, z_u [N, L, V] logits of student and teacher, lazy or not, mean over the words that are asked for; t a number.
    Departures: L is the KL, as in the paper's equation; the authors' code reports and compares the cross-entropy with p_t, whose
    relative falls are smaller, of the same gradient. As in that code t first moves at the second step, and t_start is 0.2 or 0.4.
    """

    card = Card(
        "TAID: Temporally Adaptive Interpolated Distillation for Efficient Knowledge Transfer in Language Models",
        "arXiv:2501.16937", 2025, slug="taid", world="texts", baseline={"t_start": 1.0}, tags={"teacher", "matching", "rows"},
        tasks=("lm",),
    )  # fmt: skip

    t_start: float = span(0.4, 0, 1)  # where the target begins: 0 is the student, 1 the teacher
    t_end: float = span(1.0, 0, 1)  # where it stops
    alpha: float = span(5e-4, 0, 1)  # the most it moves in a step ahead of its straight line
    b: float = span(0.99, 0, 1)  # memory of the momentum

    def setup(self, world):
        return super().setup(world) | {"course": Course(self.t_start)}

    def loss(self, run, batch):
        s, u, t = run["student"](batch.x), run["teacher"](batch.x), run["course"].t.item()
        loss = kl((1 - t) * s.detach() + t * u, s)
        batch["loss"] = loss.detach()[None]
        return {"interpolated": loss}

    def after_step(self, run, batch):
        c, now = run["course"], batch.loss.mean()
        if c.before.isfinite():
            c.momentum.lerp_((c.before - now) / (c.before + 1e-15), 1 - self.b)
            line = self.t_start + (self.t_end - self.t_start) * run.step / run.world.steps
            c.t.copy_((c.t + self.alpha * c.momentum.sigmoid() * (1 - c.t)).clamp(min=line).clamp(max=self.t_end))
        c.before.copy_(now)
        run.agree()
