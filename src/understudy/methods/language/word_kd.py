"""Word-level knowledge distillation (Kim and Rush, EMNLP 2016)."""

from understudy.core.card import Card
from understudy.core.method import Method, register, span


@register
class WordKD(Method):
    r"""Given the true words so far, the student's next word is to be as likely as the teacher's, at every place of a text.

        L = (1 - a) mean -log s(y_t | y_<t) + a mean KL(u(. | y_<t) || s(. | y_<t))

    It is `kd` at temperature 1, a word being a row. The teacher is asked about what people wrote, never what students write.

    Shapes: log s, log u [N, L, V]; y [N, L] the next words, -1 where hidden; means over the places that are asked for.
    Departures: the KL for the cross-entropy, which differs by the teacher's own entropy, a constant. Means over words for the
    paper's sums, so that a learning rate holds for texts of any length.
    """

    card = Card(
        "Sequence-Level Knowledge Distillation", "arXiv:1606.07947", 2016, world="texts", baseline="alone",
        tags={"teacher", "matching", "rows"}, tasks=("lm",),
    )  # fmt: skip

    a: float = span(0.5, 0, 1)  # weight of the teacher; 1 leaves the texts out

    def loss(self, run, batch):
        s, u = run["student"](batch.x), run["teacher"](batch.x)
        return run.world.both(s, u, batch, 1 - self.a, self.a, 1.0)
