"""BCP: bidirectional copy-paste (Bai, Chen, Li, Shen, Shen and Wang, CVPR 2023)."""

import torch

from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.method import Method, choice, freeze, register, span
from understudy.parts.components import largest
from understudy.parts.dice import segmentation
from understudy.parts.ema import ema_
from understudy.parts.mix import paste, window


@register
class BCP(Method):
    r"""Labelled and unlabelled pictures are pasted into one another, and so are labels and the moving-average teacher's guesses.

        X_in = X_l . M + X_u . (1 - M)      L_in = S(s(X_in), Y_l; M) + alpha S(s(X_in), Y_u; 1 - M)
        X_out = X_u . M + X_l . (1 - M)     L_out = S(s(X_out), Y_l; 1 - M) + alpha S(s(X_out), Y_u; M)

    S(q, y; R) = (Dice + cross-entropy) / 2 over the pixels of R; Y_u is the largest region of each class in the teacher's answer;
    M is 0 in a rectangle of beta of each side, 1 around it. For the first part of the budget, labelled pictures are pasted into
    labelled ones.

    Shapes: X [N, C, H, W]; s(X) [N, K, H, W] logits, class 0 is the background; Y [N, H, W], -1 hidden; M [H, W].
    Departures: of the two ways that a batch is mixed, each takes all of its rows, where the code deals them out in quarters. The
    teacher is in evaluation mode. Teacher and student begin self-training where pretraining ended, where the code takes the best
    of pretraining on validation rows. In pretraining S is taken over the whole mixed picture, of two mixes, where
    the code takes it over both parts of one. The rectangle may also touch the last row and column. No augmentation but the
    pasting. Pixels, not whole rows, are labelled or not.
    """

    card = Card(
        "Bidirectional Copy-Paste for Semi-Supervised Medical Image Segmentation", "arXiv:2305.00673", 2023, slug="bcp",
        world="cells", baseline={"beta": 0.0}, tags={"self", "average", "labels", "batch"}, tasks=("segment",), forwards=2,
        tune={"alpha": (0.25, 0.5, 1.0, 2.0)},
    )  # fmt: skip

    alpha: float = span(0.5, 0, 100)  # weight of pixels that the teacher labelled
    beta: float = span(2 / 3, 0, 1)  # side of the rectangle; 0 pastes nothing: a mean teacher on pseudo-labels
    decay: float = span(0.99, 0, 1)  # of the average
    pretrain: float = span(0.25, 0, 1)  # share of the budget before the teacher is asked; 10,000 of 40,000 steps
    regions: str = choice("largest", "all")  # of a class in the teacher's answer: of organs the largest

    def setup(self, world):
        student = world.student()
        return {"student": student, "teacher": freeze(student)}

    def source(self, run):
        """Pixels whose label is hidden have the teacher's."""
        batch = run.rows()
        known = batch.y >= 0
        label, asked = batch.y.clone(), ~known.flatten(1).all(1)
        if asked.any():
            guess = run["teacher"](batch.x[asked])
            said = largest(guess.argmax(1), guess.shape[1]) if self.regions == "largest" else guess.argmax(1)
            label[asked] = label[asked].where(known[asked], said)
        return Batch({**batch, "known": known, "label": label})

    def loss(self, run, batch):
        pasting = run.progress >= self.pretrain
        alpha = self.alpha if pasting else 0.0
        labelled = batch.known.flatten(1).any(1)
        l, u = pairs(labelled, ~labelled if pasting else labelled)
        mask = window(*batch.x.shape[-2:], self.beta, batch.x.device)
        around, inside = torch.cat([l, u.roll(1)]), torch.cat([u, l])  # inward, then outward
        x, label, known = (paste(v[around], v[inside], mask) for v in (batch.x, batch.label, batch.known))
        ways = zip(("inward", "outward"), *(v.chunk(2) for v in (run["student"](x), label, known)))
        return {name: segmentation(s, y, sure) + alpha * segmentation(s, y, ~sure) for name, s, y, sure in ways}

    def after_step(self, run, batch):
        ema_(run["teacher"], run["student"], self.decay if run.progress >= self.pretrain else 0.0)


def pairs(l, u):
    """Each row of l beside one of u, the shorter side again and again; an empty side is the other, or all rows; [N] twice -> [M]
    twice"""
    sides = [own if own.any() else other if other.any() else torch.ones_like(own) for own, other in ((l, u), (u, l))]
    l, u = (side.nonzero()[:, 0] for side in sides)
    turn = torch.arange(max(len(l), len(u)), device=l.device)
    return l[turn % len(l)], u[turn % len(u)]
