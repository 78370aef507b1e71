"""SALT: static-teacher asymmetric latent training (Li, Huang, Li, Malach, Susskind, Thilak and Littwin, 2025)."""

import math

import torch.nn.functional as F

from understudy.core.card import Card
from understudy.core.method import Method, choice, freeze, register, span
from understudy.core.world import Player
from understudy.parts.divergence import wide
from understudy.parts.ema import ema_
from understudy.parts.masked import Decoder, Masked, grid_of, multiblock, restored, seen
from understudy.parts.schedule import risen
from understudy.parts.stages import anew, stage


@register
class SALT(Method):
    r"""A teacher learns to restore the pixels of hidden blocks of a clip and is frozen; a student then foretells, from what it
    sees, what the teacher makes of the blocks that it doesn't see.

        teacher:  L = mean over m, hidden k of |d(u(x, m))_k - x_k|^2
        student:  L = mean over m, hidden k of |p(f(x, m))_k - LN(u(x))_k|,   u frozen, seeing all of x

    m are two masks: the union of eight blocks of a share `short` of a frame each, and that of two of a share `long`, through all
    frames. d is a decoder, p a predictor with a learned token for what is hidden, both thrown away. `teach` of the budget is the
    teacher's, the rest the student's. teacher="average" is V-JEPA: u is f's own average from the first step on, and all of the
    budget the student's.

    Shapes: x [N, C, T, H, W]; m [N, L]; u, f [N, L, D]; d [N, L, values of a patch]; p [N, L, D]; LN without weights.
    Departures: teacher and student are alike, the world has one kind of network; the paper's teachers may be smaller. Budgets are
    equal in updates, a teacher's counted in; an update of the teacher costs less than one of the student. Rows of a batch hide as
    many patches each. Pixels are restored as they are, since a still background is nothing but noise once it is normalised.
    Positions are fixed rather than rotary; no crops.
    """

    card = Card(
        "Rethinking JEPA: Compute-Efficient Video SSL with Frozen Teachers", "arXiv:2509.24317", 2025, slug="salt-jepa",
        world="footage", baseline={"teacher": "average"}, tags={"self", "game"}, forwards=3, tune={"teach": (0.2, 0.3, 0.4, 0.5)},
        tasks=("classify",),
    )  # fmt: skip

    teacher: str = choice("pixels", "average")
    teach: float = span(0.3, 0.05, 0.95)  # share of the budget that is the teacher's; pixels only
    decay: float = span(0.97, 0, 1)  # of the average at first; average only
    short: float = span(0.15, 0.01, 1)  # of a frame in each of eight blocks
    long: float = span(0.7, 0.01, 1)  # and in each of two
    width: int = span(16, 8, 4096)  # of decoder and predictor, whose attention has four heads: a multiple of 4
    depth: int = span(1, 1, 64)  # blocks of them

    def players(self, world):
        how, phase = world.player, lambda step: self.stage(step, world)
        player = Player(how.optimiser, anew(how.schedule, phase, world.steps), how.clip)
        return {"student": player} if self.teacher == "average" else {"student": player, "teacher": player}

    def setup(self, world):
        student, first = world.student(), world.student()
        grid = grid_of(student)
        predictor = Decoder(grid, student.width, self.width, self.depth, student.width)
        if self.teacher == "average":
            return {"student": student, "teacher": freeze(student), "predictor": predictor}
        values = math.prod(world.rows(0).x.shape[1:]) // math.prod(grid)
        decoder = Decoder(grid, student.width, self.width, self.depth, values)
        return {"student": student, "teacher": Masked(first, decoder), "predictor": predictor}

    def source(self, run):
        batch, grid = run.rows(), grid_of(run["student"])
        masks = ((8, self.short), (2, self.long))
        batch["hidden"] = [multiblock(len(batch.x), grid, many, share, batch.x.device) for many, share in masks]
        if self.stage(run.step, run.world) == 1:
            batch["target"] = run["teacher"](batch.x)
        return batch

    def loss(self, run, batch):
        if self.stage(run.step, run.world) == 0:
            said = [run["teacher"](batch.x, m) for m in batch.hidden]
            lost = [
                restored(d, batch.x, run["teacher"].patch, m, normal=False).mean()
                for d, m in zip(said, batch.hidden, strict=True)
            ]
            return {"teacher": {"restore": sum(lost) / 2}}
        u = wide(batch.target)
        u, lost = F.layer_norm(u, u.shape[-1:]), []
        for m in batch.hidden:
            p = run["predictor"](run["student"](batch.x, m), m)
            lost.append((wide(seen(p, ~m)) - seen(u, ~m)).abs().mean())
        return {"student": {"foretell": sum(lost) / 2}}

    def after_step(self, run, batch):
        if self.teacher == "average":
            ema_(run["teacher"], run["student"], risen(self.decay, run.step, run.world.steps))

    def stage(self, step, world):
        """0 the teacher's, 1 the student's; -> int"""
        return 1 if self.teacher == "average" else stage(step, world.steps, (self.teach, 1 - self.teach))
