"""MiniLM: deep self-attention distillation (Wang, Wei, Dong, Bao, Yang and Zhou, NeurIPS 2020)."""

from understudy.core.card import Card
from understudy.core.method import Method, at, register, span
from understudy.parts.selfattention import real, relation, relation_kl


@register
class MiniLM(Method):
    r"""The student's last layer is to attend as the teacher's does, and to relate its values to one another as that does.

        A = softmax(Q K^T / sqrt(d))      R = softmax(V V^T / sqrt(d))      d = width of a head
        L = h CE + a KL(A_u || A_s) + v KL(R_u || R_s), mean over heads and real tokens

    Neither width nor depth need agree, only the number of heads; there is no projector and no pairing of layers.

    Shapes: Q, K, V [N, L, D] of all heads, D the network's own; A, R [N, heads, L, L].
    Departures: the masked-word loss CE is learned along, since nothing else moves what lies above the last attention; the paper
    leaves that at its first values until fine-tuning, as h = 0 does. 4 heads are this world's number, BERT's is 12. No teacher
    assistant: run the method twice.
    """

    card = Card(
        "MiniLM: Deep Self-Attention Distillation for Task-Agnostic Compression of Pre-Trained Transformers", "arXiv:2002.10957",
        2020, slug="minilm", world="encoders", baseline={"v": 0.0}, tags={"teacher", "matching", "rows", "taps"}, tasks=("tag",),
        tune={"a": (0.3, 1.0, 3.0, 10.0)},
    )  # fmt: skip

    a: float = span(1.0, 0, 1e3)  # weight of attention distributions
    v: float = span(1.0, 0, 1e3)  # weight of value relations
    h: float = span(1.0, 0, 1e3)  # weight of the hard loss
    heads: int = span(4, 1, 64)  # of both networks
    student_at: tuple[str, ...] = at(
        ("stage:-1.attention.self.query", "stage:-1.attention.self.key", "stage:-1.attention.self.value"), "student"
    )
    teacher_at: tuple[str, ...] = at(
        ("stage:-1.attention.self.query", "stage:-1.attention.self.key", "stage:-1.attention.self.value"), "teacher"
    )

    def loss(self, run, batch):
        _, (q_u, k_u, v_u) = run.tap("teacher", self.teacher_at, batch.x)
        s, (q_s, k_s, v_s) = run.tap("student", self.student_at, batch.x)
        mask = real(batch.x, q_s)
        apart = lambda u, s: relation_kl(relation(*u, mask, self.heads), relation(*s, mask, self.heads), mask)
        return {
            "hard": self.h * run.world.hard(s, batch),
            "attention": self.a * apart((q_u, k_u), (q_s, k_s)),
            "values": self.v * apart((v_u, v_u), (v_s, v_s)),
        }
