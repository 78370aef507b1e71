"""WAD: weight-aware distillation under class distribution mismatch (Du, Zhao, Sheng, Li and Chen, ICCV 2023)."""

import torch
from torch import nn

from understudy.core.card import Card
from understudy.core.method import Method, register, span
from understudy.core.taps import probe
from understudy.parts.contrast import among_views
from understudy.parts.divergence import nll, wide
from understudy.parts.poses import strongly, weakly
from understudy.parts.relation import unit


class Knowledge(nn.Module):
    """Of every row: the label that it has or was given (-1 none), the one that its neighbours suggest, and with what weight."""

    def __init__(self, rows, classes):
        super().__init__()
        self.classes = classes
        self.register_buffer("label", torch.full((rows,), -1))
        self.register_buffer("pseudo", torch.zeros(rows, dtype=torch.long))
        self.register_buffer("weight", torch.zeros(rows))

    def ask(self, z):
        """What embeddings say of their rows; [rows, D] ->"""
        member = torch.nn.functional.one_hot(self.label.clamp(min=0), self.classes) * (self.label >= 0)[:, None]
        axis = unit(member.to(z).T @ unit(z))  # mean direction of each class
        best = (unit(z) @ axis.T).topk(2, -1)
        self.pseudo, self.weight = best.indices[:, 0], (best.values[:, 0] - best.values[:, 1]).to(self.weight)

    def take(self, loss, share):
        """Rows without a label whose loss is smallest are labelled as suggested; [rows], in (0, 1) ->"""
        free = self.label < 0
        order = wide(loss).masked_fill(~free, torch.inf).argsort(stable=True)[: int(share * free.sum())]
        self.label = self.label.index_put((order,), self.pseudo[order])


@register
class WAD(Method):
    r"""Rows without a label teach as far as an encoder that never saw labels places them with one class and no other, so that
    rows of unknown classes hardly do.

        sim_c(x) = cos(e(x), mean of e over rows labelled c),   y' = argmax_c sim_c,   w = sim_first - sim_second
        L = mean_labelled CE(y, s(x)) + weight mean_others w(x) CE(y'(x), s(x))

    First the encoder e alone learns to tell views of a row from other rows (SimCLR). Then, in rounds, the student s learns;
    at the end of the i-th of R, a share alpha (1 - i/R)^2 of the others becomes labelled, those that s agrees about most,
    CE(y', s(x)).

    Shapes: x [N, ...]; e [N, D]; sim [N, C] stands for the paper's pointwise mutual information; s [N, C] logits; y [N].
    Departures: w is the authors' code's, sim_first (1 - sim_second / sim_first). One view of a row is compared, where the code
    sums over four turned ones. Rows that became labelled come as often as they did before, not as often as labelled ones. The
    encoder's updates are taken from the same budget.
    """

    card = Card(
        "Semi-Supervised Learning via Weight-aware Distillation under Class Distribution Mismatch", "arXiv:2308.11874", 2023,
        slug="wad", world="strangers", baseline={"weight": 0.0, "alpha": 0.0}, tags={"game", "classes", "labels", "batch"},
        forwards=3, tune={"weight": (0.3, 1.0, 3.0, 10.0)}, tasks=("classify",),
    )  # fmt: skip

    weight: float = span(1.0, 0, 1e3)  # of the rows without a label; 0 and alpha 0 leave the labels alone
    alpha: float = span(0.2, 0, 1)  # share of the others that is labelled after the first round, about
    rounds: int = span(5, 1, 1000)  # R
    pretrain: float = span(1 / 3, 0, 0.9)  # share of the budget in which the encoder learns
    t: float = span(0.5, 1e-2, 100)  # temperature of telling views apart

    def players(self, world):
        return {"student": world.player, "encoder": world.player}

    def setup(self, world):
        student, encoder = world.student(), world.encoder()
        knowledge = Knowledge(world.size, probe(student, "", world.rows(0).x).shape[-1])
        for part in world.sweep():
            knowledge.label[part.row] = part.y
        return {"student": student, "encoder": encoder, "knowledge": knowledge}

    def round(self, step, steps):
        """0 while the encoder learns, then 1 ... R, R + 1 at the end."""
        begun = max(1, round(self.pretrain * steps))
        return 0 if step < begun else 1 + (step - begun) * self.rounds // max(steps - begun, 1)

    def loss(self, run, batch):
        if self.round(run.step, run.world.steps) == 0:
            z = run["encoder"](torch.cat([strongly(batch.x), strongly(batch.x)]))
            return {"encoder": {"views": among_views(z.unflatten(0, (2, -1)), self.t)}}
        known = run["knowledge"]
        label = torch.where(batch.y >= 0, batch.y, known.label[batch.row])
        s, free = run["student"](weakly(batch.x)), label < 0
        each = known.weight[batch.row][free] * nll(s[free], known.pseudo[batch.row][free], each=True)
        return {"student": {"hard": nll(s, label), "pseudo": self.weight * each.sum() / max(len(each), 1)}}

    def after_step(self, run, batch):
        now, then = (self.round(step, run.world.steps) for step in (run.step, run.step + 1))
        if now == then or then > self.rounds:
            return
        known = run["knowledge"]
        if now > 0:
            s = torch.cat([probe(run["student"], "", part.x.to(batch.x)) for part in run.world.sweep()])
            known.take(nll(s, known.pseudo, each=True), self.alpha * (1 - now / self.rounds) ** 2)
        known.ask(torch.cat([probe(run["encoder"], "", part.x.to(batch.x)) for part in run.world.sweep()]))
