"""Tent (Wang, Shelhamer, Liu, Olshausen and Darrell, ICLR 2021)."""

from torch import nn

from understudy.core.card import Card
from understudy.core.errors import refuse
from understudy.core.method import Method, register, span
from understudy.parts.divergence import entropy
from understudy.parts.statistics import batch_statistics_

NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)


@register
class Tent(Method):
    r"""A classifier becomes surer of the unlabelled rows it is used on, by the scales and shifts of its normalisation alone.

        L = entropy mean_i H(p_i),   H(p) = - sum_c p_c log p_c,   p = softmax s(x),   s normalises to gamma (h - m) / d + beta

    where mean m and deviation d are those of the batch at hand, and gradients reach gamma and beta only. The answer about x is
    given before x is learned from. There is no teacher but the student's own answer, which its relatives improve on.

    Shapes: x [N, ...]; s, p [N, C]; gamma, beta, m, d [channels].
    Departures: the optimiser is the world's.
    """

    card = Card(
        "Tent: Fully Test-Time Adaptation by Entropy Minimization", "arXiv:2006.10726", 2020,
        world="recurring", baseline={"entropy": 0.0}, forwards=2, tags={"self", "stream", "classes", "batch"},
        tasks=("classify",),
    )  # fmt: skip

    entropy: float = span(1.0, 0, 1e3)  # weight; 0 leaves the statistics of the batch alone (test-time normalisation)

    def setup(self, world):
        student = batch_statistics_(world.student().requires_grad_(False))
        norms = [m.requires_grad_() for m in student.modules() if isinstance(m, NORMS)]
        if not any(True for m in norms for _ in m.parameters()):
            raise refuse("student", type(student).__name__, "a network that normalises, with scales and shifts", "see 'cotta'")
        return {"student": student}

    def loss(self, run, batch):
        return {"entropy": self.entropy * entropy(run["student"](batch.x), each=False)}
