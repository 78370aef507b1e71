"""BAN: born-again neural networks (Furlanello, Lipton, Tschannen, Itti and Anandkumar, ICML 2018)."""

from torch import nn

from understudy.core.card import Card
from understudy.core.method import Method, freeze, register, span
from understudy.core.world import Player


@register
class BAN(Method):
    r"""Each generation is a new student of the same architecture that learns from the one before; the first learns from labels.

        L_1 = CE(y, s_1)      L_k = label CE(y, s_k) + KL(softmax(s_{k-1}) || softmax(s_k)),  k = 2 ... generations

    The budget is split evenly; each generation begins untrained, with the whole schedule of the learning rate for itself.

    Shapes: s_k [N, C] logits of generation k; y [N].
    Departures: the generations share one student's budget (the paper trains each for a full one), so the proof is about equal
    updates. KL for the paper's cross-entropy: the same gradient, and a perfect copy has 0. No ensemble of the generations.
    """

    card = Card(
        "Born Again Neural Networks", "arXiv:1805.04770", 2018, baseline="alone",
        tags={"self"}, tune={"label": (0.0, 0.3, 1.0, 3.0)},
    )  # fmt: skip

    generations: int = span(2, 2, 10)  # the first included; the paper goes on to 4, each with its own budget
    label: float = span(0.0, 0, 100)  # weight of the labels after the first generation: 0 is the paper's BAN, 1 its BAN+L

    def players(self, world):
        how, schedule = world.player, world.player.schedule

        def sawtooth(step):
            first, after = self.life(self.generation(step, world), world)
            return schedule((step - first) * world.steps // max(after - first, 1))

        return {"student": Player(how.optimiser, schedule and sawtooth, how.clip)}

    def setup(self, world):
        student, later = world.student(), range(1, self.generations)
        return {"student": student, "parent": freeze(student), "unborn": nn.ModuleList(freeze(world.student()) for _ in later)}

    def loss(self, run, batch):
        s = run["student"](batch.x)
        hard = run.world.hard(s, batch)
        if self.generation(run.step, run.world) == 0:
            return {"hard": hard}
        return {"hard": self.label * hard, "born_again": run.world.soft(s, run["parent"](batch.x), 1.0)}

    def after_step(self, run, batch):
        now, then = (self.generation(step, run.world) for step in (run.step, run.step + 1))
        if then != now:
            run["parent"].load_state_dict(run["student"].state_dict())
            run.renew("student", run["unborn"][then - 1])

    def generation(self, step, world):
        """0 for the first; -> int"""
        return next(k for k in reversed(range(self.generations)) if step >= self.life(k, world)[0])

    def life(self, k, world):
        """Its first step, and the first of the next; -> int, int"""
        return k * world.steps // self.generations, (k + 1) * world.steps // self.generations
