"""TinyBERT: the teacher's layers one by one, then its predictions (Jiao et al., Findings of EMNLP 2020)."""

from understudy.core.card import Card
from understudy.core.method import Method, at, register, span
from understudy.core.taps import probe
from understudy.parts.blocks import attention_mse, states_mse, thirds
from understudy.parts.divergence import cross_entropy
from understudy.parts.project import projector
from understudy.parts.selfattention import real


@register
class TinyBERT(Method):
    r"""Each block of the student is to do what a block of the teacher does, and only when it does is the student to say the same.

    Block m of M meets block g(m) = m N / M of N. With learnt W_e and W_h, and A = Q K^T / sqrt(d) before its softmax, at first

        L = embedding |E_s W_e - E_u|^2 + sum_m (hidden |H_s[m] W_h - H_u[g(m)]|^2 + attention |A_s[m] - A_u[g(m)]|^2)

    and from `first` of the budget on L = CE(softmax(u/t), softmax(s/t)) alone: no label is asked for.

    Shapes: E, H [N, L, D] of each network's width; A [N, heads, L, L]; s, u [N, L, C]. Squares are means, over real tokens.
    Departures: where M doesn't divide N, g(m) is rounded up. W_e and W_h are two, as in the paper (the authors' code has one for
    both), and the identity where the widths agree. Padding is left out, of which the code compares a part. The paper
    distils on general text from a pretrained teacher first, then on the task from a tuned one: run the method twice; here is
    one world, and all words are predicted instead of a sentence's class. No data augmentation.
    """

    card = Card(
        "TinyBERT: Distilling BERT for Natural Language Understanding", "arXiv:1909.10351", 2019, world="encoders",
        baseline={"first": 0.0}, tags={"teacher", "matching", "rows", "taps"}, tasks=("tag",),
        tune={"first": (0.5, 0.7, 0.87, 1.0)},
    )  # fmt: skip

    first: float = span(0.87, 0, 1)  # share of the budget before predictions: the paper's 20 epochs of 23
    embedding: float = span(1.0, 0, 1e3)  # weight of the embedding layer
    hidden: float = span(1.0, 0, 1e3)  # weight of hidden states
    attention: float = span(1.0, 0, 1e3)  # weight of attention
    t: float = span(1.0, 1e-2, 100)  # temperature
    heads: int = span(4, 1, 64)  # of both networks
    student_at: tuple[str, ...] = at(
        ("bert.embeddings", "stages", "stage:*.attention.self.query", "stage:*.attention.self.key"), "student"
    )
    teacher_at: tuple[str, ...] = at(
        ("bert.embeddings", "stages", "stage:*.attention.self.query", "stage:*.attention.self.key"), "teacher"
    )

    def setup(self, world):
        nets, x = super().setup(world), world.rows(0).x
        s, u = probe(nets["student"], self.student_at, x), probe(nets["teacher"], self.teacher_at, x)
        return nets | {"embed": projector(s[0], u[0], bias=False), "project": projector(s[1], u[1], bias=False)}

    def loss(self, run, batch):
        s, (e_s, *inside_s) = run.tap("student", self.student_at, batch.x)
        u, (e_u, *inside_u) = run.tap("teacher", self.teacher_at, batch.x)
        mask = real(batch.x, e_s)
        if run.progress >= self.first:
            return {"prediction": cross_entropy(u[mask], s[mask], self.t)}
        (h_s, *a_s), (h_u, *a_u) = thirds(inside_s), thirds(inside_u)
        return {
            "embedding": self.embedding * states_mse([e_s], [e_u], mask, run["embed"]),
            "hidden": self.hidden * states_mse(h_s, h_u, mask, run["project"]),
            "attention": self.attention * attention_mse(a_s, a_u, mask, self.heads),
        }
