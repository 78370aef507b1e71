"""Swing distillation: a privacy-preserving knowledge distillation framework (Li, Wu, Dong, Wu, Bian and Xiong, 2022)."""

from understudy.core.card import Card
from understudy.core.errors import refuse
from understudy.core.method import Method, register, span
from understudy.parts.warmth import noisy, warmed


@register
class SwingDistillation(Method):
    r"""The likelier a word is to be private, the higher the temperature that the teacher is heard at; noise is on all it says.

    With m_i in [0, 1] how likely it is that the word at place i is private, and n_i ~ N(0, noise^2) on every logit,

        t_i = low + (high - low) m_i
        L = mean over i of KL(softmax((u_i + n_i) / t_i) || softmax(s_i / t_i))

    high = low without noise is plain distillation at one temperature.

    Shapes: s, u [N, L, V]; m, t [N, L].
    Departures: of the paper only the abstract could be read. From it are a temperature for each token that rises with that
    likelihood, and noise on the soft targets; the map from likelihood to temperature, the numbers, and that the noise is Gaussian
    and on logits are this file's. There is no factor t^2: it would undo the shield, since t^2 KL tends to half the mean square
    between logits. The labels, which hold the secrets themselves, aren't learned from. The likelihood m comes with the rows, from
    a detector.
    """

    card = Card(
        "Swing Distillation: A Privacy-Preserving Knowledge Distillation Framework", "arXiv:2212.08349", 2022,
        slug="swing-distillation", world="secrets", baseline={"high": 1.0, "noise": 0.0}, tags={"teacher"}, tasks=("lm",),
    )  # fmt: skip

    low: float = span(1.0, 0.1, 100)  # temperature of what isn't private
    high: float = span(10.0, 0.1, 100)  # temperature of what surely is
    noise: float = span(0.5, 0, 100)  # standard deviation on a logit

    def setup(self, world):
        if "private" not in world.rows(0):
            raise refuse(
                "world", type(world).__name__, "one that says what is private", "the world 'secrets' shows what it needs"
            )
        return super().setup(world)

    def loss(self, run, batch):
        t = self.low + (self.high - self.low) * batch.private
        u = warmed(noisy(run["teacher"](batch.x), self.noise), t)
        return {"soft": run.world.soft(warmed(run["student"](batch.x), t), u, 1.0)}
