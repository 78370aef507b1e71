"""Universal logit distillation between different tokenizers (Boizard, El Haddad, Hudelot and Colombo, 2024)."""

from understudy.core.card import Card
from understudy.core.method import Method, register, span
from understudy.parts.tongues import ranked_distance


@register
class ULD(Method):
    r"""Where words can't be compared, their sorted probabilities can: the student is to be as sure as its teacher, and as unsure.

        L = CE + lam mean_t sum_i |p_(i) - q_(i)|,      p_(1) >= p_(2) >= ...,  q_(1) >= q_(2) >= ...

    with p the teacher's and q the student's distribution over the next token, the smaller vocabulary filled up with zeros. It is
    the Wasserstein distance of order 1 where each word costs as much as any other.

    Shapes: p [T, V], q [T, V'] at T places; y [N, L].
    Departures: the T places are those where both tokenizers have come as far in the text; the paper's code cuts both answers to
    the same number of tokens and compares the k-th with the k-th, whatever they say.
    """

    card = Card(
        "Towards Cross-Tokenizer Distillation: the Universal Logit Distillation Loss for LLMs", "arXiv:2402.12030", 2024,
        world="tongues", baseline="alone", tags={"teacher", "rows", "vocabularies"}, tasks=("lm",),
        tune={"lam": (0.3, 1.0, 1.5, 5.0)},
    )  # fmt: skip

    lam: float = span(1.5, 0, 1e3)  # weight of the teacher

    def loss(self, run, batch):
        s, u = run["student"](batch.x), run["teacher"](batch.x)
        return {"hard": run.world.hard(s, batch), "ranked": self.lam * ranked_distance(u, s)}
