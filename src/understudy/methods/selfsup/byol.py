"""BYOL (Grill, Strub, Altche, Tallec, Richemond and others, NeurIPS 2020)."""

from understudy.core.card import Card
from understudy.core.method import Method, freeze, register, span
from understudy.core.taps import probe
from understudy.parts.crops import glimpse
from understudy.parts.divergence import wide
from understudy.parts.ema import ema_
from understudy.parts.project import pooled
from understudy.parts.projector import mlp
from understudy.parts.relation import unit
from understudy.parts.schedule import risen


@register
class BYOL(Method):
    r"""From one view of a row a student predicts what its own average makes of another view; no rows are held against others.

        L = mean_i (2 - 2 cos(q(g(f(v))), g'(f'(v')))) + the same with v and v' exchanged

    f is the student, g a projector, q a predictor that the average doesn't have. After step k of K, f' and g' go a share
    1 - tau of the way to f and g,

        tau = 1 - (1 - decay) (cos(pi k / K) + 1) / 2

    Shapes: v, v' [N, C, H, W] two random crops of x in other light; f(v) [N, D], maps and tokens by their mean; g, q [N, dim].
    Departures: crops, light and noise, without flips, blur, hues and solarisation, which digits don't survive or don't have.
    Adam replaces LARS.
    """

    card = Card(
        "Bootstrap your own latent: A new approach to self-supervised Learning", "arXiv:2006.07733", 2020, world="gallery",
        baseline={"decay": 1.0}, tags={"self", "average", "batch"}, forwards=4, tune={"decay": (0.9, 0.97, 0.99, 0.996)},
        tasks=("classify",),
    )  # fmt: skip

    decay: float = span(0.97, 0, 1)  # of the average at first; 1 keeps the untrained student as the teacher
    hidden: int = span(128, 1, 65536)  # width inside projector and predictor
    dim: int = span(32, 1, 65536)  # of what is predicted
    least: float = span(0.5, 0.01, 1)  # of a picture's area in a crop

    def setup(self, world):
        student = world.student()
        width = pooled(probe(student, "", world.rows(0).x)).shape[1]
        projector, predictor = mlp(width, self.hidden, self.dim), mlp(self.dim, self.hidden, self.dim)
        return {"student": student, "teacher": freeze(student), "projector": projector, "target": freeze(projector),
                "predictor": predictor}  # fmt: skip

    def source(self, run):
        batch = run.rows()
        views = [glimpse(batch.x, self.least, 1.0) for _ in range(2)]
        batch["views"], batch["z"] = views, [run["target"](pooled(run["teacher"](v))) for v in views]
        return batch

    def loss(self, run, batch):
        q = [run["predictor"](run["projector"](pooled(run["student"](v)))) for v in batch.views]
        near = [(unit(wide(a)) * unit(wide(b))).sum(-1).mean() for a, b in zip(q, reversed(batch.z), strict=True)]
        return {"predict": sum(2 - 2 * cos for cos in near)}

    def after_step(self, run, batch):
        decay = risen(self.decay, run.step, run.world.steps)
        ema_(run["teacher"], run["student"], decay)
        ema_(run["target"], run["projector"], decay)
