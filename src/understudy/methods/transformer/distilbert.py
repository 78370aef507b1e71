"""DistilBERT: a masked language model of half the blocks (Sanh, Debut, Chaumond and Wolf, 2019)."""

import torch.nn.functional as F

from understudy.core.card import Card
from understudy.core.errors import refuse
from understudy.core.method import Method, at, choice, register, span
from understudy.core.taps import probe
from understudy.parts.blocks import inherit_
from understudy.parts.divergence import kl, wide
from understudy.parts.selfattention import real


@register
class DistilBERT(Method):
    r"""The student begins as every other block of its teacher; it learns words, what that says of them, and how its states lie.

        L = mlm CE(y, s) + ce t^2 KL(softmax(u/t) || softmax(s/t)) + cos (1 - <h_s, h_u> / |h_s| |h_u|)

    The last two are means over all real tokens, the first one over masked words.

    Shapes: s, u [N, L, C] for C words; h_s, h_u [N, L, D] last hidden states; y [N, L], -1 where nothing is asked.
    Departures: the weights 5, 2, 1 and t = 2 are those of the released command, the paper gives none; so is t^2, and KL in place
    of the cross-entropy, whose gradient is the same. Which blocks are handed down follows the released script (0, 2, 4, 7, 9 and
    11 of 12), not a strict one out of two. Words are masked once, not anew at every visit, and position embeddings learn along,
    which the release freezes.
    """

    card = Card(
        "DistilBERT, a distilled version of BERT: smaller, faster, cheaper and lighter", "arXiv:1910.01108", 2019,
        world="halfencoders", baseline={"ce": 0.0, "cos": 0.0}, tags={"teacher", "matching", "taps"}, tasks=("tag",),
        tune={"ce": (0.5, 1.5, 5.0, 15.0)},
    )  # fmt: skip

    ce: float = span(5.0, 0, 1e3)  # weight of the teacher's words
    mlm: float = span(2.0, 0, 1e3)  # weight of the hard loss
    cos: float = span(1.0, 0, 1e3)  # weight of the hidden states' direction
    t: float = span(2.0, 1e-2, 100)  # temperature
    start: str = choice("teacher", "random")  # whose weights the student begins with
    student_at: str = at("penultimate", "student")
    teacher_at: str = at("penultimate", "teacher")

    def setup(self, world):
        nets, x = super().setup(world), world.rows(0).x
        own, its = (probe(nets[n], at, x).shape[-1] for n, at in (("student", self.student_at), ("teacher", self.teacher_at)))
        if own != its:
            raise refuse(
                "student", f"{own} wide", f"a student as wide as its teacher, {its}", "'tinybert' and 'minilm' don't ask it"
            )
        if self.start == "teacher":
            inherit_(nets["student"], nets["teacher"])
        return nets

    def loss(self, run, batch):
        s, h_s = run.tap("student", self.student_at, batch.x)
        u, h_u = run.tap("teacher", self.teacher_at, batch.x)
        mask = real(batch.x, h_s)
        near = F.cosine_similarity(wide(h_s)[mask], wide(h_u)[mask], dim=-1)
        return {
            "hard": self.mlm * run.world.hard(s, batch),
            "soft": self.ce * kl(u[mask], s[mask], self.t),
            "cosine": self.cos * (1 - near).mean(),
        }
