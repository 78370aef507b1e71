"""WA: weight aligning for class-incremental learning (Zhao, Xiao, Gan, Zhang and Xia, CVPR 2020)."""

import torch

from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.method import Method, choice, freeze, register, span
from understudy.parts.divergence import cross_entropy
from understudy.parts.incremental import Classes, Open, align_, classifier, only
from understudy.parts.rehearsal import Exemplars


@register
class WACIL(Method):
    r"""Classes come phase by phase; the student as it was keeps the old ones apart, scaled weights keep old and new fair.

    With u(x) the logits at the end of the phase before, and lambda = C_old / (C_old + C_new), on new rows and kept exemplars

        L = (1 - lambda) CE(y, s) + lambda CE(softmax(u/t), softmax(s/t)),   the second over old classes only

    No weight of the classifier is below 0, so its norm tells how large its logits are. At the end of a phase
    w_new <- w_new mean|w_old| / mean|w_new|, which is the student that goes on and that the next phase learns from.

    Shapes: s, u [N, C], of which the classes that have come count; w [C, D].
    Departures: no code of the authors was found; values and defaults are those of a public re-implementation (PyCIL), which
    doesn't clip. The head has its full width from the start and classes that haven't come are closed, where the paper's
    grows: the same function. A step adds replay x batch exemplars to its new rows instead of drawing from the union: the same
    share where replay is exemplars over new rows. Exemplars are chosen by lot (PyCIL herds, which needs all rows of a phase
    at once). Momentum lives on from phase to phase. Biases aren't scaled. With the network of `digits` aligning did harm on
    validation rows; that of `lessons` ends in averaged, normalised maps.
    """

    card = Card(
        "Maintaining Discrimination and Fairness in Class Incremental Learning", "arXiv:1911.07053", 2019, slug="wa-cil",
        world="lessons", baseline={"align": "none"}, tags={"self", "phases", "classes", "labels"}, tasks=("classify",),
        forwards=4, tune={"t": (1.0, 2.0, 4.0, 8.0)},
    )  # fmt: skip

    t: float = span(2.0, 1e-2, 100)  # temperature
    memory: float = span(0.04, 0, 1)  # exemplars, a share of the training rows: the paper's 2,000 of 50,000
    replay: float = span(0.2, 0, 100)  # exemplars beside each new row: 2,000 to the 10,000 of one of five phases
    align: str = choice("norms", "none")  # none: neither clipped nor scaled, distillation and exemplars alone

    def setup(self, world):
        student, x = world.student(), world.rows(0).x
        room = max(round(self.memory * world.size), 1)
        return {
            "student": student, "teacher": freeze(student), "classes": Classes(classifier(student, x).out_features),
            "memory": Exemplars(room, x, world.size), "present": Exemplars(room, x, world.size),
        }  # fmt: skip

    def source(self, run):
        new = run.rows()
        x, y = run["memory"].draw(round(self.replay * len(new)))
        return Batch(x=torch.cat([new.x, x]), y=torch.cat([new.y, y]), new=new)

    def loss(self, run, batch):
        s, old, now = run["student"](batch.x), run["classes"].old, run["classes"].now(batch.y)
        hard = run.world.hard(only(s, now), batch)
        if not old.any():
            return {"hard": hard}
        share = old.sum() / now.sum()
        soft = cross_entropy(run["teacher"](batch.x)[:, old], s[:, old], self.t)
        return {"hard": (1 - share) * hard, "soft": share * soft}

    def after_step(self, run, batch):
        student, classes, over = run.nets["student"], run["classes"], run.world.phase(run.step + 1) > run.world.phase(run.step)
        classes.meet(batch.new.y)
        run["present"].keep(batch.new.x, batch.new.y, batch.new.row)
        if self.align == "norms":
            weight = classifier(student, batch.x).weight
            weight.clamp_(min=0)
            if over:
                align_(weight, classes.old, classes.known & ~classes.old)
        if over:
            run["memory"].keep(run["present"].x, run["present"].y, run["present"].row)
            run["present"].clear()
            run["teacher"].load_state_dict(student.state_dict())
            classes.turn()

    def result(self, run):
        return Open(run.nets["student"], run["classes"])
