"""MHIM-MIL: masked hard instance mining (Tang, Huang, Zhang, Zhou, Zhang and Liu, ICCV 2023)."""

import torch

from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.method import Method, at, freeze, register, span
from understudy.parts.bags import drawn, extreme
from understudy.parts.divergence import soft_cross_entropy, wide
from understudy.parts.ema import ema_
from understudy.parts.schedule import cosine


@register
class MHIMMIL(Method):
    r"""The student's moving average says which instances of a bag are easy, by its attention; the student learns from the others.

        L = CE(y, s(X kept)) + weight CE(softmax(Z / t), z),   u <- decay u + (1 - decay) s
        masked = high of the high / among that u attends to most, low of those it attends to least, random of all

    z is the bag's embedding by the student from what is kept, Z the teacher's from all of X. Further instances are masked at
    random. The share `high` falls to 0 along half a cosine, so easy instances come back. In the first part of the budget nothing
    is masked and the teacher follows at once: the paper's initial teacher is such a network. In use the student sees all.

    Shapes: X [N, M, ...]; attention [N, M]; z, Z [N, D]; s [N, C] logits of the bag; y [N].
    Departures: default shares are larger and the decay is shorter than the code's (0.01 to 0.03 and 0.9999), for bags of tens of
    instances, not of ten thousand, and hundreds of updates. The code gives the student the initial teacher's first layer alone;
    here it has all of it. No dropout. A bag of which all would be masked is seen whole.
    """

    card = Card(
        "Multiple Instance Learning Framework with Masked Hard Instance Mining for Whole Slide Image Classification",
        "arXiv:2307.15254", 2023, slug="mhim-mil", world="bags", tags={"self", "average", "taps"}, forwards=2,
        baseline={"high": 0.0, "low": 0.0, "random": 0.0, "weight": 0.0}, tune={"random": (0.0, 0.2, 0.5, 0.7)},
        tasks=("classify",),
    )  # fmt: skip

    weight: float = span(0.1, 0, 1e3)  # of the embedding's consistency
    high: float = span(0.1, 0, 1)  # share of easy instances that are masked at first
    among: float = span(0.5, 0.01, 1)  # they are this share, at random, of the high / among that are attended to most
    low: float = span(0.0, 0, 1)  # share of instances attended to least that are masked
    random: float = span(0.5, 0, 1)  # share that is masked whatever it is; nothing masked and weight 0 is the student alone
    t: float = span(0.1, 1e-2, 100)  # temperature of the teacher's embedding
    decay: float = span(0.99, 0, 1)  # of the average
    pretrain: float = span(0.25, 0, 1)  # share of the budget before anything is masked
    attention: str = at("attention")  # what weighs instances, before the softmax
    at: str = at("head:in")  # the bag's embedding

    def setup(self, world):
        student = world.student()
        return {"student": student, "teacher": freeze(student)}

    def source(self, run):
        """Which instances the student sees, and the bag as the teacher sees it."""
        batch = run.rows()
        _, (a, z) = run.tap("teacher", (self.attention, self.at), batch.x)
        kept = torch.ones_like(a, dtype=torch.bool)
        if run.progress >= self.pretrain:
            begun = round(self.pretrain * run.world.steps)
            high = self.high * cosine(run.world.steps - begun)(run.step - begun)
            easy = drawn(extreme(a, min(high / self.among, 1.0)), self.among)
            kept = ~(easy | extreme(a, self.low, highest=False) | drawn(kept, self.random))
        return Batch({**batch, "kept": kept, "z": z})

    def loss(self, run, batch):
        s, z = run.tap("student", self.at, batch.x, batch.kept)
        weight = self.weight if run.progress >= self.pretrain else 0.0
        same = soft_cross_entropy((wide(batch.z) / self.t).softmax(-1), z)
        return {"hard": run.world.hard(s, batch), "consistency": weight * same}

    def after_step(self, run, batch):
        ema_(run["teacher"], run["student"], self.decay if run.progress >= self.pretrain else 0.0)
