"""Distilling step-by-step: rationales as a task of their own (Hsieh, Li, Yeh, Nakhost et al., ACL Findings 2023)."""

from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.method import Method, register, span
from understudy.parts.prompts import followed


@register
class DistillingStepByStep(Method):
    r"""A large language model says why, and the student learns to say why as a second task, told apart by a prefix.

    r is what the teacher writes about a question x, and f the student:

        L = CE(f([label] x), y) + lam CE(f([rationale] x), r)

    Only [label] is asked for afterwards, so reasons cost nothing then: they aren't a step on the way to the answer.

    Shapes: x [N, L] with [label], y [N, L]; ask [N, Q] with [rationale]; r [N, R], -1 after its end; f [N, L, V].
    Departures: the student is whatever the world writes with, a causal model in the small one, T5 in the paper. The authors' code
    has (1/2, 1/2) for the two weights, which is lam = 1 at half the learning rate. Labels are the world's; the paper also tries
    the teacher's own.
    """

    card = Card(
        "Distilling Step-by-Step! Outperforming Larger Language Models with Less Training Data and Smaller Model Sizes",
        "arXiv:2305.02301", 2023, slug="distilling-step-by-step", world="reasons", baseline={"lam": 0.0}, tags={"teacher"},
        tasks=("lm",), forwards=3, tune={"lam": (0.3, 1.0, 3.0, 10.0)},
    )  # fmt: skip

    lam: float = span(1.0, 0, 1e3)  # weight of the rationales

    def source(self, run):
        batch = run.rows()
        return Batch({**batch, "why": run["teacher"](batch.ask)})

    def loss(self, run, batch):
        terms = {"hard": run.world.hard(run["student"](batch.x), batch)}
        if self.lam > 0:
            x, y = followed(batch.ask, batch.why)
            terms["rationale"] = self.lam * run.world.hard(run["student"](x), Batch(x=x, y=y))
        return terms
