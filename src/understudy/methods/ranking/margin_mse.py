"""Margin-MSE (Hofstätter, Althammer, Schröder, Sertkan and Hanbury, 2020)."""

from understudy.core.card import Card
from understudy.core.method import Method, choice, register, span
from understudy.parts.divergence import wide
from understudy.parts.ranking import margins


@register
class MarginMSE(Method):
    r"""A fast ranker learns by how much a slow one prefers one document to another, since each scores in a range of its own.

        L = mean ((s(q, d^+) - s(q, d^-)) - (u(q, d^+) - u(q, d^-)))^2

    The paper's comparisons: `match='pointwise'` is mean (s - u)^2 over both documents, and 'alone' is RankNet on the judgements.

    Shapes: s, u [N, K] scores of a query's documents by student and teacher, the one judged relevant first; K = 2 is a triple of
    the paper, K > 2 has several d- beside one d+.
    Departures: the teacher is one network, where the paper's best is the mean over three; it is asked as it goes, where the paper
    reads its scores from a file (a stored teacher gives the same bits). The paper has no term of the judgements, which only say
    what is d+; `hard` adds one.
    """

    card = Card(
        "Improving Efficient Neural Ranking Models with Cross-Architecture Knowledge Distillation", "arXiv:2010.02666", 2020,
        slug="margin-mse", world="library", baseline="alone", tags={"teacher", "matching", "rows"}, tasks=("rank",),
    )  # fmt: skip

    match: str = choice("margin", "pointwise")  # what of the scores is to be equal
    hard: float = span(0.0, 0, 1e3)  # weight of the judgements

    def loss(self, run, batch):
        u, s = run["teacher"](batch.x), run["student"](batch.x)
        gap = margins(s) - margins(u) if self.match == "margin" else wide(s) - wide(u)
        return {"hard": self.hard * run.world.hard(s, batch), "soft": gap.square().mean()}
