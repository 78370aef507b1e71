"""DisWOT: student architecture search for distillation without training (Dong, Li and Wei, CVPR 2023)."""

import torch

from understudy.core.batch import each
from understudy.core.card import Card
from understudy.core.method import Method, at, register, span
from understudy.core.run import seen_by
from understudy.core.seeds import stream
from understudy.core.taps import tap
from understudy.parts.proxy import gap, reborn, semantics
from understudy.parts.relation import gram
from understudy.parts.search import Sizes, evolve


@register
class DisWOT(Method):
    r"""The student is, of all that fit, the one most like the teacher before either has learned; then it is distilled as usual.

        M_s(A) = [G G^T], G_c = sum_f w_fc A_f, w_fc = mean over places of dY_c / dA_f     (semantics of classes)
        M_r(A) = [A A^T]                                                                   (relations of rows)
        DisWOT = -||M_s(A_T) - M_s(A_S)||_2 - ||M_r(A_T) - M_r(A_S)||_2
        student = arg max of DisWOT over sizes of at most limit times the given student's parameters
        L = (1 - a) CE(y, s) + a t^2 KL(softmax(u/t) || softmax(s/t))

    Shapes: A [N, F, H, W] features of the last stage, both networks at random weights; Y [N, C] logits; G [C, N H W]; [.] rows at
    unit length; s, u [N, C] student and teacher logits; y [N].
    Departures: the space is what the given student's own numbers allow, each at most what it is, where the paper has three spaces
    of its own. The authors' script puts the gradient of the cross-entropy at the classifier, [C, F], in G's place and compares
    F x F matrices, for which both networks must be equally wide, and adds no relations; the paper's C x C maps are taken here. A
    score is the mean over `starts` random starts, the authors' that of one.
    """

    card = Card(
        "DisWOT: Student Architecture Search for Distillation WithOut Training", "arXiv:2303.15678", 2023,
        slug="diswot", world="sizes", baseline={"rounds": 0, "population": 1}, tags={"teacher", "taps", "classes"},
        tune={"t": (1.0, 2.0, 4.0, 8.0)},
    )  # fmt: skip

    limit: float = span(0.3, 0.05, 1)  # parameters of the result, as a share of the given student's
    population: int = span(20, 1, 1000)  # alive at a time
    rounds: int = span(100, 0, 100_000)  # children
    sample: int = span(5, 1, 100)  # of whom the best is a parent
    starts: int = span(1, 1, 64)  # random starts that a score is the mean of
    rows: int = span(64, 2, 4096)  # training rows that are looked at
    a: float = span(0.9, 0, 1)  # weight of the teacher
    t: float = span(4.0, 1e-2, 100)  # temperature
    student_at: str = at("stage:-1", "student")
    teacher_at: str = at("stage:-1", "teacher")

    def setup(self, world):
        """The student given is the largest; the one that is found takes its place."""
        nets = super().setup(world)
        with stream(self.name, world.seed):  # not the run's, so that a run that is resumed finds the same
            sizes, worth = self.space(world, nets["student"], nets["teacher"])
            most = self.limit * sizes.weigh(sizes.largest)
            fitting = lambda size: worth(size) if (sizes.weigh(size) or most + 1) <= most else None
            best, _ = evolve(lambda: sizes.within(most), sizes.change, fitting, self.population, self.rounds, self.sample)
        return nets | {"student": seen_by(sizes.build(best), "student", world)}

    def space(self, world, given, teacher):
        """The sizes below the given student, and what one of them is worth to this teacher."""
        sizes, x = Sizes(given), each(next(iter(world.sweep())).x, lambda rows: rows[: self.rows])
        asked = [self.seen(seen_by(reborn(teacher), "teacher", world), self.teacher_at, x) for _ in range(self.starts)]

        def worth(size):
            there = [self.seen(seen_by(sizes.build(size).train(), "student", world), self.student_at, x) for _ in asked]
            return -sum(gap(u, s) for one, other in zip(asked, there) for u, s in zip(one, other)) / self.starts

        return sizes, worth

    def seen(self, net, where, x):
        """Both matrices of a network at the weights it has."""
        with torch.enable_grad():
            out, features = tap(net, where, x)
            return semantics(out, features), gram(features.detach())

    def loss(self, run, batch):
        s, u = run["student"](batch.x), run["teacher"](batch.x)
        return run.world.both(s, u, batch, 1 - self.a, self.a, self.t)
