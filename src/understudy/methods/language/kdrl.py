"""KDRL: knowledge distillation and reinforcement learning in one objective (Xu et al., 2025)."""

from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.method import Method, choice, register, span
from understudy.parts.policy import group_advantage, reverse_kl, surrogate, token_logp


@register
class KDRL(Method):
    r"""The student writes several answers, a rule marks them, and the teacher says how likely it was to write the same.

    A = (r - mean r) / std r over the `group` answers to a prompt; mean over all words written, log s and log u each word's:

        L = - mean ratio A + b mean (log s - log u)^2 / 2,      b = beta max(floor, 1 - decay step)

    The second term's gradient, on the student's own words, is that of KL(s || u) (k2); k3's is that of KL(u || s), k1's none on
    average. mask: the teacher is heard on every answer ('none'), on wrong ones ('response'), or where a whole group is ('group').

    Shapes: tokens [G N, L] for N prompts and G = group; log s, log u, mask [G N, L-1]; r [G N].
    Departures: one update a rollout, so the ratio is 1 and nothing is clipped. The rule's reward is 0 or 1, with none for format.
    beta goes from 5e-3 to 1e-3 as published; that it does so in 80 steps isn't checked. A proof also tries larger ones.
    """

    card = Card(
        "KDRL: Post-Training Reasoning LLMs via Unified Knowledge Distillation and Reinforcement Learning", "arXiv:2506.02208",
        2025, slug="kdrl", world="sums", baseline={"beta": 0.0}, tags={"teacher", "acts"}, tasks=("lm",), forwards=2,
        tune={"beta": (0.005, 0.05, 0.5, 5.0)},
    )  # fmt: skip

    group: int = span(8, 1, 1024)  # answers to a prompt
    beta: float = span(5e-3, 0, 100)  # weight of the teacher at first
    decay: float = span(0.01, 0, 1)  # share of beta that goes with every step
    floor: float = span(0.2, 0, 1)  # share of beta that stays
    kl: str = choice("k2", "k1", "k3")
    mask: str = choice("none", "response", "group")

    def source(self, run):
        said = run.world.play(run["student"], run.rows().prompt.repeat(self.group, 1))
        return Batch({**said, "guide": token_logp(run["teacher"](said.tokens), said.tokens)})

    def loss(self, run, batch):
        logp, words = token_logp(run["student"](batch.tokens), batch.tokens), batch.mask
        mean = lambda each: (each * words).sum() / words.sum().clamp(min=1)
        a = group_advantage(batch.reward, self.group)[:, None].to(logp)
        beta = self.beta * max(self.floor, 1 - self.decay * run.step)
        heard = self._heard(batch.reward)[:, None].to(logp)
        return {"reward": -mean(surrogate(logp, logp, a)), "guide": beta * mean(heard * reverse_kl(logp, batch.guide, self.kl))}

    def _heard(self, reward):
        """Which answers the teacher is heard on; [G N] -> [G N]"""
        wrong = (reward <= 0).view(self.group, -1)
        if self.mask == "group":
            wrong = wrong.all(0).expand_as(wrong)
        return (wrong | (self.mask == "none")).flatten()
