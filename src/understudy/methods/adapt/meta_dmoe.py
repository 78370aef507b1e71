"""Meta-DMoE (Zhong, Chi, Gu, Wang, Yu and Tang, NeurIPS 2022)."""

from understudy.core.card import Card
from understudy.core.method import Method, at, freeze, register, span
from understudy.parts.divergence import wide
from understudy.parts.meta import Adapting, Aggregator, others, towards
from understudy.parts.unroll import at as answer


@register
class MetaDMoE(Method):
    r"""A student learns how to learn from experts of other domains in one step without labels, and takes it on a new domain.

    An episode has labelled rows (x, y) and others x' of one source domain e. With M_k the features of expert k, A a transformer
    over experts and their mean, f_theta the student's features, s_theta its logits,

        theta' = theta - inner grad_theta mean (f_theta(x') - A({M_k(x') : k != e}))^2
        L = CE(y, s_{theta'}(x))

    whose gradient goes through the step into theta and A. The domain's own expert is left out, since a new domain has none; on a
    new domain all experts are asked. Before that, in the first `warm` of the budget, A learns to name classes from all experts,
    through a head that is dropped, and the student goes on with its labels alone.

    Shapes: x, x' [N, ...]; M [N, K, D]; A, f [N, D]; s [N, C].
    Departures: student and A share an optimiser, where the code has a rate for each, and A has no dropout. `warm` is part of the
    budget; in the code it's a training of its own. Each batch of a new domain adapts anew; the code adapts to the first batch
    alone. The step is larger than published (1e-4 to 1e-3), networks being small.
    """

    card = Card(
        "Meta-DMoE: Adapting to Domain Shift by Meta-Distillation from Mixture-of-Experts", "arXiv:2210.03885", 2022,
        slug="meta-dmoe", world="turned-digits", baseline={"inner": 0.0}, forwards=3,
        tags={"teacher", "taps", "labels", "batch"}, tune={"inner": (0.01, 0.03, 0.1, 0.3)}, tasks=("classify",),
    )  # fmt: skip

    inner: float = span(0.1, 0, 100)  # size of the step; 0 adapts to nothing
    heads: int = span(4, 1, 64)  # of A, at most
    depth: int = span(1, 1, 12)
    warm: float = span(0.25, 0, 1)  # share of the budget
    at: str = at("penultimate", "student")

    def setup(self, world):
        student, experts = world.student(), freeze(world.teacher())
        x = world.rows(0).x
        aggregator = Aggregator(experts(x).shape[-1], student(x).shape[-1], self.heads, self.depth)
        return {"student": student, "teacher": experts, "aggregator": aggregator}

    def source(self, run):
        batch = run.rows()
        batch["support"] = run.rows("support")
        return batch

    def loss(self, run, batch):
        put_together = run["aggregator"]
        if run.progress < self.warm:
            named = put_together.head(put_together(run["teacher"](batch.x)))
            return {"hard": run.world.hard(run["student"](batch.x), batch), "aggregate": run.world.hard(named, batch)}
        support = batch.support
        target = wide(put_together(others(run["teacher"](support.x), support.domain)))
        theta = towards(run["student"], self.at, support.x, target, self.inner)
        return {"hard": run.world.hard(answer(run["student"], theta, batch.x), batch)}

    def result(self, run):
        return Adapting(run["student"], run["teacher"], run["aggregator"], self.at, self.inner)
