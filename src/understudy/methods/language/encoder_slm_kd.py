"""Return of the encoder: a decoder-only teacher for an encoder-decoder student (Elfeki, Liu and Voegele, 2025)."""

from understudy.core.card import Card
from understudy.core.method import Method, register, span
from understudy.parts.divergence import kl, mean


@register
class EncoderSLMKD(Method):
    r"""A teacher that reads prompt and answer as one text teaches a student that reads the prompt once, answer word by word.

    Where all prompts are Q words long, the teacher's logits from their last on are about the same words as the student's steps:

        L = a KL(u[Q - 1 : Q + A - 1] || s[0 : A]) + (1 - a) CE(y, s), mean over the answer's words

    Shapes: s [N, A, V]; u [N, Q + A - 1, V], of which the last A count; y [N, A]; mask [N, A], where an answer has a word.
    Departures: answers are the rows' own. The authors' code takes the KL on answers that the student wrote (temperature 0.9,
    top 128), counts filled-up places too, and cuts both vocabularies to the smaller one. `a` is that code's.
    """

    card = Card(
        "Return of the Encoder: Maximizing Parameter Efficiency for SLMs", "arXiv:2501.16273", 2025, slug="encoder-slm-kd",
        world="readings", baseline={"a": 0.0}, tags={"teacher", "matching", "rows"}, tasks=("lm",),
        tune={"a": (0.3, 0.5, 0.7, 0.9)},
    )  # fmt: skip

    a: float = span(0.9, 0, 1)  # weight of the teacher

    def loss(self, run, batch):
        steps, said = batch.mask.shape[1], batch.mask
        s, u = run["student"](batch.x)[:, -steps:], run["teacher"](batch.x)[:, -steps:]
        return {"hard": (1 - self.a) * run.world.hard(s, batch), "soft": self.a * mean(kl(u[said], s[said], each=True), False)}
