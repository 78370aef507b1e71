"""Approximate likelihood matching between different tokenizers (Minixhofer, Vulić and Ponti, 2025)."""

from understudy.core.card import Card
from understudy.core.method import Method, register, span
from understudy.parts.tongues import likelihood_match, span_logp


@register
class ALM(Method):
    r"""Stretches of text that begin and end a token in both vocabularies are to be as likely to the student as to the teacher.

    For every stretch c between two such places, with log-likelihoods summed over each model's own tokens,

        L = CE + w mean_c KL(Bernoulli(p_T(c)^{1/t}) || Bernoulli(p_S(c)^{1/t}))

    No word of one vocabulary needs a partner in the other.

    Shapes: p_T(c), p_S(c) [N, C] for C stretches a row; y [N, L].
    Departures: stretches whose borders are aligned exactly; the paper also debiases those that end within a word (its outcome
    chunks), and can add hidden states. t = 100 as published; the factor t keeps the gradient's size.
    """

    card = Card(
        "Universal Cross-Tokenizer Distillation via Approximate Likelihood Matching", "arXiv:2503.20083", 2025, world="tongues",
        baseline="alone", tags={"teacher", "rows", "vocabularies"}, tasks=("lm",), tune={"w": (0.1, 0.3, 1.0, 3.0)},
    )  # fmt: skip

    w: float = span(1.0, 0, 1e3)  # weight of the teacher
    t: float = span(100.0, 1, 1e4)  # temperature of a likelihood

    def loss(self, run, batch):
        mine, its = batch.x.of("student"), batch.x.of("teacher")
        s, u = run["student"](batch.x), run["teacher"](batch.x)
        spans = int(mine["span"].max()) + 1
        q, p = (span_logp(z, x["next"], x["span"], spans) for z, x in ((s, mine), (u, its)))
        there = q < 0
        apart = likelihood_match(p, q, self.t)[there]
        return {"hard": run.world.hard(s, batch), "spans": self.w * self.t * apart.sum() / there.sum().clamp(min=1)}
