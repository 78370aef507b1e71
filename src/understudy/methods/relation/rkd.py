"""RKD: relational knowledge distillation (Park, Kim, Lu and Cho, CVPR 2019)."""

import torch.nn.functional as F

from understudy.core.card import Card
from understudy.core.method import Method, at, register, span
from understudy.parts.project import pooled
from understudy.parts.relation import angles, distances


@register
class RKD(Method):
    r"""The student keeps the teacher's geometry: distances between two rows and angles between three, not the rows themselves.

        psi_ij  = |f_i - f_j| / mean over pairs          L_D = mean_ij huber(psi^s_ij  - psi^u_ij)
        psi_ijk = cos at i between f_j - f_i, f_k - f_i  L_A = mean_ijk huber(psi^s_ijk - psi^u_ijk)
        L = CE(y, s) + w (L_D + angle L_A)

    Shapes: f_s [N, D], f_u [N, D'] the embeddings; psi [N, N] and [N, N, N].
    Departures: the paper sums over distinct pairs and triples; the authors' code, which is followed, takes means over all N^2 and
    N^3 entries, of which those of a row with itself are 0. Distances below 1e-6 count as that; a zero difference has no angle
    and no gradient.
    """

    card = Card(
        "Relational Knowledge Distillation", "arXiv:1904.05068", 2019, baseline="alone",
        tags={"teacher", "matching", "rows", "taps", "batch"}, tune={"w": (1.0, 3.0, 8.0, 25.0)},
    )  # fmt: skip

    w: float = span(25.0, 0, 1e5)  # weight of both terms in classification (1 for embeddings in metric learning)
    angle: float = span(2.0, 0, 1e3)  # angles against distances
    student_at: str = at("penultimate", "student")
    teacher_at: str = at("penultimate", "teacher")

    def loss(self, run, batch):
        s, f_s = run.tap("student", self.student_at, batch.x)
        _, f_u = run.tap("teacher", self.teacher_at, batch.x)
        f_s, f_u = pooled(f_s), pooled(f_u)
        return {
            "hard": run.world.hard(s, batch),
            "distance": self.w * F.huber_loss(distances(f_s), distances(f_u)),
            "angle": self.w * self.angle * F.huber_loss(angles(f_s), angles(f_u)),
        }
