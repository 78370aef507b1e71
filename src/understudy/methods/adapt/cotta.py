"""CoTTA: continual test-time adaptation (Wang, Fink, Van Gool and Dai, CVPR 2022)."""

from understudy.core.card import Card
from understudy.core.method import Method, freeze, register, span
from understudy.parts.augment import jittered
from understudy.parts.divergence import cross_entropy
from understudy.parts.ema import ema_
from understudy.parts.restore import at_random, flat, put_
from understudy.parts.statistics import batch_statistics_
from understudy.parts.uncertainty import Careful, Repeatable


@register
class CoTTA(Method):
    r"""Of the unlabelled rows it is used on a student learns what its moving average says, and a few weights go home each time.

    With s(x) the student's logits, u(x) the average's and u_0(x) those of the source model as it was before,

        L = consistency CE(u~, s(x)),   u~ = u(x) if mean_i max_c p_0 >= threshold, else mean_k u(x_k)
        u <- decay u + (1 - decay) s,   then   s_j <- [b_j = 0] s_j + [b_j = 1] s_{0,j},   b_j ~ Bernoulli(restore)

    where p_0 = softmax u_0(x), the x_k are augmented x, and the second line is about weights. The answer about x is u~, given
    before x is learned from. Batch normalisation takes its statistics from the batch.

    Shapes: x [N, ...]; s, u, u_0 [N, C]; s_j, b_j one of the weights.
    Departures: 4 augmented views instead of 32. They are contrast, brightness, an affine map and noise: no flip, gamma, hue or
    blur, which digits don't survive or don't have. Logits are averaged, as in the authors' code. The optimiser is the world's.
    """

    card = Card(
        "Continual Test-Time Domain Adaptation", "arXiv:2203.13591", 2022, world="recurring", baseline="tent", forwards=11,
        tags={"self", "stream", "classes", "batch"}, tune={"threshold": (0.1, 0.5, 0.72, 0.92)}, tasks=("classify",),
    )  # fmt: skip

    consistency: float = span(1.0, 0, 1e3)  # weight of the teacher
    decay: float = span(0.999, 0, 1)  # of the moving average
    restore: float = span(0.01, 0, 1)  # share of the weights that go back to the source's after a step
    threshold: float = span(0.92, 0, 1)  # of the source's confidence, below which views are averaged; paper: 0.1 to 0.92
    views: int = span(4, 1, 64)

    def setup(self, world):
        student = batch_statistics_(world.student())
        return {"student": student, "teacher": freeze(student), "source": freeze(student)}

    def loss(self, run, batch):
        u = Careful(run["teacher"], run["source"], jittered, self.views, self.threshold)(batch.x)
        return {"consistency": self.consistency * cross_entropy(u, run["student"](batch.x))}

    def after_step(self, run, batch):
        ema_(run["teacher"], run["student"], self.decay)
        put_(run["student"], flat(run["source"]), at_random(run["student"], self.restore))

    def result(self, run):
        return Repeatable(Careful(run.nets["teacher"], run["source"], jittered, self.views, self.threshold))
