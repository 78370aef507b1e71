"""DMT: Dual Mean-Teacher for audio-visual source localisation (Guo, Ma, Su, Wang, Zhao, Zou, Sun and Zheng, NeurIPS 2023)."""

import torch

from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.method import Method, at, choice, freeze, register, span
from understudy.parts.dice import pixel_cross_entropy
from understudy.parts.divergence import wide
from understudy.parts.ema import ema_
from understudy.parts.filters import same_shape
from understudy.parts.poses import strongly
from understudy.parts.relation import unit
from understudy.parts.views import seen, strong

TEACHER = {"student": "teacher", "peer": "peer_teacher"}


@register
class DMTAVSL(Method):
    r"""Two averages of differing networks say where a picture sounds; where they agree, what both say is learned.

        L = sum_k (H(s_k, y) + weight mean_u [IoU(m_1, m_2) >= consensus] H(s_k, m_1 m_2) + contrast C(f_k, a_k))
        m_k = [p_k >= sure],   C(f, a) = -mean_i log softmax_j(z_{ij} / t)_i - mean_i log softmax_j(z_{ji} / t)_i
        z_{ij} = max_{xy} cos(f_i(x, y), a_j)

    s_k is what student k says of a strong view, p_k the probability of sound that its average says of the scene as it is; H is
    the cross-entropy over pixels, y is known of few scenes, u are the others. For the first part of the budget there is y alone,
    and the averages begin as what has learned from it.

    Shapes: x {seen [N, C, H, W], heard [N, frames, mels]}; s [N, 2, H, W] logits; m, y [N, H, W], y -1 where hidden;
    f [N, D, h, w]; a [N, D].
    Departures: the best place of a picture stands for it in C, as in EZ-VSL, and a sound is compared with those of a batch. A
    scene in which nobody finds anything teaches nothing. Pretraining takes the last weights, not the best. Thresholds, weights,
    temperature and decay are ours. The result is the first average, never the two together.
    """

    card = Card(
        "Dual Mean-Teacher: An Unbiased Semi-Supervised Framework for Audio-Visual Source Localization", "arXiv:2403.03145", 2023,
        slug="dmt-avsl", world="sounding", baseline={"teachers": "one"}, tags={"self", "average", "game", "batch", "taps"},
        forwards=4, tune={"weight": (0.3, 1.0, 3.0, 10.0)}, tasks=("segment",),
    )  # fmt: skip

    teachers: str = choice("two", "one")  # one is a mean teacher that is believed wherever it is sure
    weight: float = span(1.0, 0, 1e3)  # of scenes that the teachers labelled
    contrast: float = span(0.01, 0, 1e3)  # of telling whose sound it is
    consensus: float = span(0.5, 0, 1)  # least overlap of the two maps
    sure: float = span(0.6, 0, 1)  # least probability of a place that sounds
    t: float = span(0.1, 1e-4, 100)  # temperature of contrast
    decay: float = span(0.97, 0, 1)  # of both averages
    pretrain: float = span(0.4, 0, 1)  # share of the budget with labels alone
    places: tuple[str, ...] = at(("look", "listen"), "student", "peer")  # vectors of a picture's places, and of a sound

    def learners(self):
        return ("student", "peer") if self.teachers == "two" else ("student",)

    def players(self, world):
        return dict.fromkeys(self.learners(), world.player)

    def setup(self, world):
        nets = {"student": world.student()} | ({"peer": world.peer()} if self.teachers == "two" else {})
        return nets | {TEACHER[name]: freeze(net) for name, net in nets.items()}

    def source(self, run):
        """Maps where they are known, and where the teachers agree."""
        batch = run.rows()
        known = (batch.y >= 0).flatten(1).all(1)
        label, kept = batch.y.clamp(min=0), torch.zeros_like(known)
        if run.progress >= self.pretrain and not known.all():
            said = [wide(run[TEACHER[name]](batch.x)).softmax(1)[:, 1] >= self.sure for name in self.learners()]
            both, kept = agreed(torch.stack(said), self.consensus)
            label, kept = label.where(known[:, None, None], both.long()), kept & ~known
        return Batch({**batch, "label": label, "known": known, "kept": kept})

    def loss(self, run, batch):
        learning = run.progress >= self.pretrain
        believed = self.weight * batch.kept.sum() / (~batch.known).sum().clamp(min=1)
        terms = {}
        for name in self.learners():
            v, view = strong(batch.x["seen"])
            label = seen(batch.label[:, None].to(v), view)[:, 0].round().long()
            s, (f, a) = run.tap(name, self.places, {"seen": v, "heard": strongly(batch.x["heard"])})
            only = lambda rows, y=label: rows[:, None, None].expand_as(y)
            terms[name] = {
                "hard": pixel_cross_entropy(s, label, only(batch.known)),
                "pseudo": believed * pixel_cross_entropy(s, label, only(batch.kept)),
                "contrast": self.contrast * learning * paired(f, a, self.t),
            }
        return terms

    def after_step(self, run, batch):
        for name in self.learners():
            ema_(run[TEACHER[name]], run[name], self.decay if run.progress >= self.pretrain else 0.0)

    def result(self, run):
        return run.nets["teacher"]


def agreed(m, least):
    """Where all of V maps say so, and whether those overlap by at least that and there is such a place; [V, N, H, W] bool ->
    [N, H, W] bool, [N] bool"""
    both = m.all(0)
    return both, same_shape(both, m.any(0), least) & both.flatten(1).any(1)


def paired(f, a, t):
    """C: pictures, by the place most like a sound, against the batch's sounds, and the other way; [N, D, h, w], [N, D] -> []"""
    z = torch.einsum("idp,jd->ijp", unit(wide(f).flatten(2).mT).mT, unit(wide(a))).amax(2) / t
    return -(z.log_softmax(1).diagonal() + z.log_softmax(0).diagonal()).mean()
