"""MiniLLM (Gu, Dong, Wei and Huang, ICLR 2024)."""

from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.method import Method, choice, register, span
from understudy.parts.divergence import reverse_kl
from understudy.parts.writing import Beside, log_mixture, said, to_go


@register
class MiniLLM(Method):
    r"""KL(s || u) between distributions over whole texts, by policy gradient: the student gives up what the teacher wouldn't say.

    Texts are drawn from p = alpha u + (1 - alpha) s, word by word; r_t = log u(y_t) - log s(y_t), w_t = s(y_t) / p(y_t):

        L = single + long + c hard
        single = mean w_t KL(s(. | y_<t) || u(. | y_<t))
        long = -mean w_t R_t log s(y_t),    R_t = mean of r_{t+1} ... r_T, 0 at the end

    The gradient of the sequence's KL has two parts: what a word costs at once, taken exactly over all words instead of the drawn
    one (single), and what it costs later (long). hard is the texts' own loss, which keeps the student from forgetting them.

    Shapes: y [N, L] the written words, -1 elsewhere; log s, log u [N, L, V]; r, w, R [N, L]; means over the written words.
    Departures: R_t begins after y_t, as in the paper's equations; in the authors' code it includes r_t. From that code: R is made
    of mean 0 and variance 1 over a batch (`whiten`), without which its sign hardly differs between words. One update a rollout in
    place of four, so PPO's ratio is 1 and nothing is clipped; w_t is that of one word, as published, so the gradient is exact at
    alpha 0 only. hard is on the same world's texts, the code's on a pre-training corpus and half a distillation.
    """

    card = Card(
        "MiniLLM: Knowledge Distillation of Large Language Models", "arXiv:2306.08543", 2024, world="writing",
        baseline="word-kd", tags={"teacher", "acts"}, tasks=("lm",), forwards=16,
    )  # fmt: skip

    alpha: float = span(0.2, 0, 0.99)  # the teacher's share in the writing
    c: float = span(1.0, 0, 1e3)  # weight of the texts' own loss
    norm: str = choice("yes", "no")  # R is a mean, so that long texts aren't punished for being long; or the sum
    whiten: str = choice("yes", "no")

    def source(self, run):
        rows = run.rows()
        return Batch({**run.world.play(Beside(run["student"], run["teacher"], self.alpha), rows.prompt), "text": rows})

    def loss(self, run, batch):
        s, u, y = run["student"](batch.x), run["teacher"](batch.x), batch.y
        wrote, text = y >= 0, batch.text
        log_s, log_u = said(s, y), said(u, y)
        now = log_s.detach()
        w = (now - log_mixture(now, log_u, self.alpha)).exp()[wrote]
        long = self._long(log_u - now, wrote)[wrote]
        return {
            "single": (w * reverse_kl(u, s, each=True)).mean(),
            "long": -(w * long * log_s[wrote]).mean(),
            "hard": self.c * run.world.hard(run["student"](text.x), text),
        }

    def _long(self, r, wrote):
        """R of every written word; [N, L], [N, L] -> [N, L]"""
        later = to_go(r, wrote, mean=self.norm == "yes")
        if self.whiten == "no":
            return later
        return (later - later[wrote].mean()) * (later[wrote].var(correction=0) + 1e-8).rsqrt()
