"""FTD: flat trajectory distillation (Du, Jiang, Tan, Zhou and Li, CVPR 2023)."""

from functools import partial

import torch
from torch import nn

from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.errors import refuse
from understudy.core.method import Method, freeze, register, span
from understudy.core.world import Player
from understudy.parts.ema import ema_, warm
from understudy.parts.synthetic import Synthetic, some_of_each
from understudy.parts.unroll import at, descend, flat, flatward, led


class Experts(nn.Module):
    """Students in training, and where each stood after every epoch; w [E, P], path [E, T+1, P]"""

    def __init__(self, w, epochs):
        super().__init__()
        self.w = nn.Parameter(w.clone())
        self.register_buffer("path", torch.cat([w[:, None], w.new_zeros(len(w), epochs, w.shape[1])], 1))


def both(parameters, rows, lr):
    """SGD at one rate for the rows and at another for their step size."""
    return torch.optim.SGD([{"params": [p], "lr": rows if p.ndim else lr} for p in parameters], momentum=0.5)


@register
class FTD(Method):
    r"""A few rows are made on which a short training ends where a long one on real rows does, from experts kept in flat valleys.

    Experts take the steps of GSAM, g the gradient at w and h that at w + rho w^2 g / ||w g||:

        w <- w - lr_expert (h - alpha (g - (g . h) h / ||h||^2))

    Then, from where a random expert was after epoch e, v the end of `inner` steps of size lr on the made rows,

        L = ||v - w_{e+ahead}||^2 / ||w_e - w_{e+ahead}||^2,    differentiated through the inner steps in the rows and in lr.

    Shapes: x [C ipc, ...], y [C ipc] the made rows; w, v [P]. The result is their moving average, with their step size.
    Departures: the experts train side by side during the first `share` of the budget, cut into equal epochs. The adaptive
    neighbourhood (w^2) and alpha are the code's. The moving average begins low, there being fewer steps than 1 / (1 - decay), and
    takes in the step size (code: the last one). No augmentation, no whitening; all made rows are in every inner step. Rates are
    for small networks (published: 100 to 1000 for the rows, 1e-5 for lr), and their gradient is clipped. rho = 0 is MTT.
    """

    card = Card(
        "Minimizing the Accumulated Trajectory Error to Improve Dataset Distillation", "arXiv:2211.11004", 2022, slug="ftd",
        world="condense", baseline={"rho": 0.0}, tags={"data", "game", "labels", "classes"}, tasks=("classify",), forwards=20,
        tune={"rho": (0.01, 0.03, 0.1, 0.3)},
    )  # fmt: skip

    ipc: int = span(1, 1, 1000)  # rows a class
    rho: float = span(0.01, 0, 10)  # how far experts look for a higher loss
    alpha: float = span(0.4, 0, 10)  # weight of GSAM's step across h
    experts: int = span(8, 1, 10**4)
    starts: int = span(10, 1, 10**4)  # first epochs of an expert that a match may start from
    ahead: int = span(2, 1, 10**4)  # epochs that a match covers
    inner: int = span(20, 1, 10**4)  # steps that it has for them
    share: float = span(0.5, 0, 1)  # of the budget for the experts
    lr_expert: float = span(0.1, 0, 10)  # also the step size that is learned, at first
    lr_rows: float = span(1.0, 0, 1e6)
    lr_lr: float = span(1e-3, 0, 1)  # of the step size
    clip: float = span(1.0, 1e-3, 1e6)  # largest gradient of rows and step size together
    decay: float = span(0.9995, 0, 1)

    def players(self, world):
        rows = partial(both, rows=self.lr_rows, lr=self.lr_lr)
        return {"experts": Player(partial(torch.optim.SGD, lr=self.lr_expert)), "rows": Player(rows, clip=self.clip)}

    def setup(self, world):
        student = freeze(world.student())
        if any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in student.modules()):
            raise refuse("student", "batch normalisation", "a network that is its parameters alone", "use group or instance norm")
        w = torch.stack([flat(student), *(flat(world.student()).detach() for _ in range(self.experts - 1))])
        x, y = map(torch.cat, zip(*((b.x, b.y) for b in world.sweep())))
        rows = Synthetic(*some_of_each(x, y, student(x[:2]).shape[-1], self.ipc), self.lr_expert)
        return {"student": student, "experts": Experts(w, self.starts - 1 + self.ahead), "rows": rows, "average": freeze(rows)}

    def lessons(self, run):
        """Steps that the experts train, and epochs that these are."""
        epochs = self.starts - 1 + self.ahead
        return max(int(self.share * run.world.steps), epochs), epochs

    def source(self, run):
        w, path = run["experts"].w, run["experts"].path
        if run.step < self.lessons(run)[0]:  # rows for each expert
            rows = [run.rows(step=run.step * len(w) + i) for i in range(len(w))]
            return Batch(x=torch.stack([b.x for b in rows]), y=torch.stack([b.y for b in rows]))
        expert, e = torch.randint(len(w), ()), torch.randint(self.starts, ())
        return Batch(start=path[expert, e], goal=path[expert, e + self.ahead])

    def loss(self, run, batch):
        def hard(x, y):
            return lambda w: run.world.hard(at(run["student"], w, x), Batch(x=x, y=y))

        if "start" not in batch:
            w, taught = run["experts"].w, lambda w, x, y: flatward(hard(x, y), w, self.rho, self.alpha)
            value, direction = torch.vmap(taught, randomness="different")(w.detach(), batch.x, batch.y)
            return {"experts": {"flat": led(value.mean(), w, direction)}}
        made, way = run["rows"], (batch.start - batch.goal).square().sum()
        end = descend(hard(made.x, made.y), batch.start, made.lr, self.inner)
        return {"rows": {"match": (end - batch.goal).square().sum() / (way + (way == 0))}}  # who never moved went no way

    def after_step(self, run, batch):
        steps, epochs = self.lessons(run)
        if run.step >= steps:
            ema_(run["average"], run["rows"], warm(self.decay, run.step - steps))
        elif (run.step + 1) * epochs // steps > run.step * epochs // steps:
            run["experts"].path[:, (run.step + 1) * epochs // steps] = run["experts"].w

    def result(self, run):
        made = run["average"]
        return Batch(x=made.x.detach(), y=made.y, lr=made.lr.detach())
