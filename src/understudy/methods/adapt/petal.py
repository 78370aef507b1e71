"""PETAL: probabilistic lifelong test-time adaptation with self-training prior (Brahma and Rai, CVPR 2023)."""

from understudy.core.card import Card
from understudy.core.method import Method, freeze, register, span
from understudy.parts.augment import jittered
from understudy.parts.divergence import cross_entropy
from understudy.parts.ema import ema_
from understudy.parts.restore import least, penalty, put_, squared_gradient
from understudy.parts.statistics import batch_statistics_
from understudy.parts.uncertainty import Careful, Moments, Repeatable


@register
class PETAL(Method):
    r"""A student in use learns from its moving average, the source model's posterior holds it, and idle weights go home.

    With s(x) the student's logits, u~ those of its average (or of its average over augmented views, where the source model isn't
    sure), and mean m and variance v of the weights w that training on source rows passes through,

        L = consistency CE(u~, s(x)) + prior / 2 sum_j (w_j - m_j)^2 / (v_j + damp)
        F_j = (dL / dw_j)^2,   w_j <- m_j where F_j < quantile(F, restore)

    the last after the average has moved, u <- decay u + (1 - decay) s. In the world's phase 0, the source domain, the student
    learns labelled rows with the world's own loss, and m and v are collected (SWAG-diagonal); all begin from m then. The answer
    about x is u~, given before x is learned from. Batch normalisation takes its statistics from the batch.

    Shapes: x [N, ...]; s, u [N, C]; w, m, v, F [P], one number a weight.
    Departures: 4 augmented views instead of 32, of the kind that digits survive. m and v come from every step of the source
    phase, by the world's optimiser, instead of some epochs of SGD.
    """

    card = Card(
        "A Probabilistic Framework for Lifelong Test-Time Adaptation", "arXiv:2212.09713", 2022, slug="petal", world="recurring",
        baseline="cotta", forwards=11, tags={"self", "stream", "classes", "batch"}, tune={"threshold": (0.1, 0.5, 0.72, 0.92)},
        tasks=("classify",),
    )  # fmt: skip

    consistency: float = span(1.0, 0, 1e3)  # weight of the teacher
    prior: float = span(1e-9, 0, 1)  # weight of the source model's posterior
    damp: float = span(1e-6, 1e-12, 1)  # added to its variances
    decay: float = span(0.999, 0, 1)  # of the moving average
    restore: float = span(0.03, 0, 1)  # share of the weights that go back to the source's after a step
    threshold: float = span(0.92, 0, 1)  # of the source's mean confidence, below which views are averaged
    views: int = span(4, 1, 64)

    def setup(self, world):
        student = batch_statistics_(world.student())
        posterior = Moments(student)
        posterior.add(student)
        return {"student": student, "teacher": freeze(student), "source": freeze(student), "posterior": posterior}

    def source(self, run):
        return run.rows() if run.world.phase(run.step) else run.rows("source")

    def loss(self, run, batch):
        if run.world.phase(run.step) == 0:
            return {"hard": run.world.hard(run["student"](batch.x), batch)}
        u, p = Careful(run["teacher"], run["source"], jittered, self.views, self.threshold)(batch.x), run["posterior"]
        return {
            "consistency": self.consistency * cross_entropy(u, run["student"](batch.x)),
            "prior": self.prior * penalty(run["student"], p.mean, 1 / (p.variance + self.damp)),
        }

    def after_step(self, run, batch):
        if run.world.phase(run.step) == 0:
            run["posterior"].add(run["student"])
            if run.world.phase(run.step + 1):
                for name in ("student", "teacher", "source"):
                    put_(run[name], run["posterior"].mean)
            return
        ema_(run["teacher"], run["student"], self.decay)
        put_(run["student"], run["posterior"].mean, least(squared_gradient(run["student"]), self.restore))

    def result(self, run):
        return Repeatable(Careful(run.nets["teacher"], run["source"], jittered, self.views, self.threshold))
