"""C-GAC: confidence-based geometric augmentation consistency (Ohkawa, Li, Fu, Furuta, Kitani and Sato, ECCV 2022)."""

import torch
import torch.nn.functional as F

from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.method import Method, register, span
from understudy.parts.affine import drawn, seen
from understudy.parts.augment import noisy, recoloured
from understudy.parts.divergence import wide
from understudy.parts.joints import distance


@register
class CGAC(Method):
    r"""Two teachers label a new domain together, the student listens less where they disagree, and they learn from it.

        L_s = hard(s; source) + weight mean_i ( w_i D(s_h(W x_i), W p_i) + v_i B(s_m(W x_i), W q_i) )
        p = (h_1 + h_2) / 2      w = 2 (1 - sigmoid(doubt D(h_1, h_2)))
        q = (m_1 + m_2) / 2      v = 2 (1 - sigmoid(doubt_mask mean |m_1 - m_2|))
        L_k = D(h_k(x'), s_h(x)) + B(m_k(x'), s_m(x))   in turn, k = 1, 2

    h_k(x) are teacher k's heatmaps of the joints, m_k(x) its probabilities that places are the body's, s_h and s_m the student's;
    D is the distance of heatmaps, mean over joints, B the cross-entropy of masks. W turns, zooms and moves, x' is x in other
    light. A confidence is 1 where the teachers agree and falls towards 0. They begin apart, each having learned the source
    from a beginning of its own, and stay two networks, since neither is an average of the student.

    Shapes: x [N, C, H, W]; h, s_h [N, K, S, S]; m, s_m [N, S, S]; w, v [N].
    Departures: written from the abstract and an outline; distances, weights and both scales of doubt are ours, and so is that
    teachers take turns, each in light of its own. A network's last channel is its mask's log-odds. Figures stand for hands.
    """

    card = Card(
        "Domain Adaptive Hand Keypoint and Pixel Localization in the Wild", "arXiv:2203.08344", 2022, slug="c-gac", world="dusk",
        baseline={"doubt": 0.0, "doubt_mask": 0.0}, tags={"self", "game"}, tasks=("pose",), forwards=5,
        tune={"weight": (0.3, 1.0, 3.0, 10.0)},
    )  # fmt: skip

    weight: float = span(1.0, 0, 1e3)  # of what the teachers say
    doubt: float = span(10.0, 0, 1e4)  # how fast confidence falls with the distance of heatmaps; 0 believes everything
    doubt_mask: float = span(20.0, 0, 1e4)  # and with that of masks
    degrees: float = span(30.0, 0, 180)  # a picture is turned
    zoom: float = span(0.2, 0, 0.9)
    shift: float = span(0.1, 0, 1)  # in sides of the picture
    jitter: float = span(0.3, 0, 1)  # of contrast and brightness
    noise: float = span(0.1, 0, 10)

    def players(self, world):
        return dict.fromkeys(("student", "first", "second"), world.player)

    def setup(self, world):
        return {"student": world.student(), "first": world.beginner(1), "second": world.beginner(2)}

    def source(self, run):
        """Target pictures, what the teachers say of them together, how sure they are, what the student says; and the source."""
        rows = run.rows()
        x, view = rows.x, lambda x: noisy(recoloured(x, self.jitter), self.noise)
        (h_1, m_1), (h_2, m_2) = (parted(run[name](x)) for name in ("first", "second"))
        w = 2 * (1 - torch.sigmoid(self.doubt * distance(h_1, h_2).mean(1)))
        v = 2 * (1 - torch.sigmoid(self.doubt_mask * (m_1.sigmoid() - m_2.sigmoid()).abs().mean((1, 2))))
        said = torch.cat([(h_1 + h_2) / 2, (m_1.sigmoid() + m_2.sigmoid())[:, None] / 2], 1)
        way = drawn(x, self.degrees, self.zoom, self.shift)
        there = {"turned": view(seen(x, way)), "said": seen(said, way, "zeros")}
        own = {"view": view(x), "student": run["student"](x)}
        return Batch({**rows, **there, **own, "w": w, "v": v, "source": run.rows("source")})

    def loss(self, run, batch):
        n, k = len(batch.source.x), batch.said.shape[1] - 1
        s = run["student"](torch.cat([batch.source.x, batch.turned]))
        heat, mask = parted(s[n:])
        student = {
            "hard": run.world.hard(s[:n], batch.source),
            "joints": self.weight * (batch.w * distance(heat, batch.said[:, :k]).mean(1)).mean(),
            "mask": self.weight * (batch.v * covered(mask, batch.said[:, k])).mean(),
        }
        name = ("first", "second")[run.step % 2]
        (h, m), (s_h, s_m) = parted(run[name](batch.view)), parted(batch.student)
        return {"student": student, name: {"joints": distance(h, s_h).mean(), "mask": covered(m, s_m.sigmoid()).mean()}}


def parted(out):
    """Heatmaps and the mask's log-odds; [N, K + 1, S, S] -> [N, K, S, S], [N, S, S]"""
    return wide(out[:, :-1]), wide(out[:, -1])


def covered(logits, p):
    """B of each row; log-odds and probabilities [N, S, S] -> [N]"""
    return F.binary_cross_entropy_with_logits(logits, p.to(logits), reduction="none").mean((1, 2))
