"""PSMT: parameter-selective mean teacher (Tian and Lyu, ECCV 2024)."""

from torch import nn

from understudy.core.card import Card
from understudy.core.method import Method, freeze, register, span
from understudy.parts.augment import jittered
from understudy.parts.divergence import nll, symmetric_cross_entropy
from understudy.parts.ema import ema_
from understudy.parts.restore import fisher, flat, least, penalty, put_, squared_gradient
from understudy.parts.statistics import batch_statistics_
from understudy.parts.uncertainty import Both


@register
class PSMT(Method):
    r"""What mattered to the source model is held fast, and weights that don't matter now go home, in student and average alike.

    With u(x) the average's logits, s(x) the student's, x~ an augmented x, w_0 the source model's weights and F_0 their Fisher
    information on source rows that it labels itself,

        SCE(u, s) = (1 - r) CE(u, s) + r CE(s, u)
        L = consistency (SCE(u(x), s(x)) + SCE(u(x), s(x~))) / 2 + protect sum_j F_{0,j} (w_j - w_{0,j})^2
        F_j = (dL / dw_j)^2,   m_j = [F_j < quantile(F, restore)]
        w <- m w_0 + (1 - m) w,   w' <- m w_0 + (1 - m) (d w' + (1 - d) w)

    where w' are the average's weights and d its decay. The answer about x is u(x) + s(x), given before x is learned from. Batch
    normalisation takes its statistics from the batch.

    Shapes: x [N, ...]; s, u [N, C]; w, w', F, m [P], one number a weight.
    Departures: paper and released code differ, and the code is followed: the paper's penalty is around the weights of the step
    before, and its mask keeps the average where it is. The code's view x~ is overwritten by x; here it is the augmented one, as
    in the paper. The code averages twice a step, here once.
    """

    card = Card(
        "Parameter-Selective Continual Test-Time Adaptation", "arXiv:2407.02253", 2024, slug="psmt", world="recurring",
        baseline="cotta", forwards=5, tags={"self", "stream", "classes", "batch"}, tune={"decay": (0.9, 0.97, 0.99, 0.999)},
        tasks=("classify",),
    )  # fmt: skip

    consistency: float = span(1.0, 0, 1e3)  # weight of the teacher
    reverse: float = span(0.5, 0, 1)  # r, share of the reverse cross-entropy
    protect: float = span(500.0, 0, 1e5)  # weight of the source's Fisher information
    decay: float = span(0.999, 0, 1)  # of the moving average
    restore: float = span(0.03, 0, 1)  # share of the weights that go back to the source's after a step

    def setup(self, world):
        student = batch_statistics_(world.student())
        said = (student(part.x) for part in world.sweep())
        matters = nn.Module()
        matters.register_buffer("fisher", fisher(student, (nll(out, out.argmax(-1)) for out in said)))
        return {"student": student, "teacher": freeze(student), "source": freeze(student), "matters": matters}

    def loss(self, run, batch):
        u, s, s_view = run["teacher"](batch.x), run["student"](batch.x), run["student"](jittered(batch.x))
        same = (symmetric_cross_entropy(u, s, self.reverse) + symmetric_cross_entropy(u, s_view, self.reverse)) / 2
        return {
            "consistency": self.consistency * same,
            "protect": penalty(run["student"], flat(run["source"]), 2 * self.protect * run["matters"].fisher),
        }

    def after_step(self, run, batch):
        home, little = flat(run["source"]), least(squared_gradient(run["student"]), self.restore)
        put_(run["student"], home, little)
        ema_(run["teacher"], run["student"], self.decay)
        put_(run["teacher"], home, little)

    def result(self, run):
        return Both(run.nets["student"], run.nets["teacher"])
