"""Knowledge distillation (Hinton, Vinyals and Dean, 2015)."""

from understudy.core.card import Card
from understudy.core.method import Method, register, span


@register
class KD(Method):
    r"""The student matches the teacher's softened answers, and the labels a little.

        L = (1 - a) CE(y, s) + a t^2 KL(softmax(u/t) || softmax(s/t))

    On a task without classes the second term is that task's own: squared error in regression, the sum of binary KLs for labels
    that don't exclude one another.

    Shapes: s, u [N, C] student and teacher logits; y [N].
    """

    card = Card(
        "Distilling the Knowledge in a Neural Network", "arXiv:1503.02531", 2015, baseline="alone",
        tags={"teacher", "matching", "rows"}, tune={"t": (1.0, 2.0, 4.0, 8.0)},
    )  # fmt: skip

    a: float = span(0.9, 0, 1)  # weight of the teacher
    t: float = span(4.0, 1e-2, 100)  # temperature

    def loss(self, run, batch):
        s, u = run["student"](batch.x), run["teacher"](batch.x)
        return run.world.both(s, u, batch, 1 - self.a, self.a, self.t)
