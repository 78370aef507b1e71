"""Sequence-level knowledge distillation (Kim and Rush, EMNLP 2016)."""

from understudy.core.card import Card
from understudy.core.method import Method, choice, register


@register
class SeqKD(Method):
    r"""The student learns to write what the teacher writes: whole texts of the teacher take the place of those of people.

        L = -log s(y_u | x),    y_u = argmax u(y | x), what the teacher writes after the prompt x

    That is the cross-entropy between distributions over texts, -sum_y u(y | x) log s(y | x), with all of u's mass on its mode.
    Drawn from u instead (`sampled`), the loss is that sum on average, and least where s = u.

    Shapes: x {input_ids, attention_mask} [N, P]; y_u [N, P + more]; log s [N, L, V] where the teacher wrote, mean over words.
    Departures: the mode is looked for greedily, the paper has a beam of 5. The texts are written when they are needed, not all
    beforehand: a greedy teacher writes the same either way, a sampling one something new each time.
    """

    card = Card(
        "Sequence-Level Knowledge Distillation", "arXiv:1606.07947", 2016, world="writing", baseline="alone",
        tags={"teacher", "rewrites"}, tasks=("lm",), forwards=1, tune={"how": ("greedy", "sampled")},
    )  # fmt: skip

    how: str = choice("greedy", "sampled")  # the teacher's likeliest words, or drawn ones

    def source(self, run):
        return run.world.play(run["teacher"], run.rows().prompt, greedy=self.how == "greedy")

    def loss(self, run, batch):
        return {"sequence": run.world.hard(run["student"](batch.x), batch)}
