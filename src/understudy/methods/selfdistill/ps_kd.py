"""PS-KD: self-knowledge distillation with progressive refinement of targets (Kim, Ji, Yoon and Hwang, ICCV 2021)."""

from understudy.core.card import Card
from understudy.core.method import Method, freeze, register, span


@register
class PSKD(Method):
    r"""The target is softened by what the student itself said an epoch ago, the more the longer it has learned.

        L_t = CE((1 - a_t) y + a_t softmax(s_{t-1}), s),  a_t = a t / T,  t = 1 ... T epochs
            = (1 - a_t) CE(y, s) + a_t KL(softmax(s_{t-1}) || softmax(s)) + what has no gradient

    Shapes: s, s_(t-1) [N, C] logits of the student and of its snapshot at the end of the epoch before; y [N].
    Departures: the snapshot answers about the row as it is now, in evaluation mode, as the paper has it; the authors' code stores
    what the student said of the row while it was training in that epoch. The first epoch has the labels alone, as in their code.
    """

    card = Card(
        "Self-Knowledge Distillation with Progressive Refinement of Targets", "arXiv:2006.12000", 2020, slug="ps-kd",
        baseline="alone", tags={"self"}, tune={"a": (0.2, 0.4, 0.6, 0.8)},
    )  # fmt: skip

    a: float = span(0.8, 0, 1)  # weight of the past in the last epoch

    def setup(self, world):
        student = world.student()
        return {"student": student, "past": freeze(student)}

    def loss(self, run, batch):
        s = run["student"](batch.x)
        a = self.share(run)
        if a == 0:
            return {"hard": run.world.hard(s, batch)}
        return {"hard": (1 - a) * run.world.hard(s, batch), "past": a * run.world.soft(s, run["past"](batch.x), 1.0)}

    def after_step(self, run, batch):
        if (run.step + 1) % run.world.epoch == 0:
            run["past"].load_state_dict(run["student"].state_dict())

    def share(self, run):
        """a_t, 0 in the first epoch; -> float"""
        t, epochs = run.step // run.world.epoch + 1, -(-run.world.steps // run.world.epoch)
        return self.a * min(t / epochs, 1) if t > 1 else 0.0
