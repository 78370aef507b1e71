"""PhaseNet-DAS: arrival-time picking on fibres (Zhu, Biondi, Li, Yin, Ross and Zhan, 2023)."""

import torch

from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.method import Method, choice, register, span
from understudy.parts.picks import associated, picking, picks


@register
class PhaseNetDAS(Method):
    r"""A picker of single traces picks every sensor of a fibre by itself; what no one earthquake explains is thrown away, and a
    network that reads all sensors together learns the rest.

        r_i = t_i - (t_0 + |x_i - x| / v_k),   g_i = N(r_i; 0, sigma^2) / (N(r_i; 0, sigma^2) + even)
        L = hard + mean CE(q, s(X + noise)),   q = bells around the picks t_i with g_i > 1/2

    t_i is the likeliest sample of wave k at sensor i where the teacher gives it `sure` or more. Place x and time t_0 of the
    source are fitted, the speeds v_k are the world's. Sensors of which no pick is kept are not learned from.

    Shapes: X [N, 1, C, T]; s [N, 3, C, T] logits of noise, first and second wave; t, r, g [N, C, 2].
    Departures: one earthquake a row, whose place is taken from a grid, for GaMMA's mixture of several; the spread sigma is given,
    not fitted. Noise that is added is white; the paper also stacks and mirrors events. The teacher is asked in every step.
    """

    card = Card(
        "Seismic Arrival-time Picking on Distributed Acoustic Sensing Data using Semi-supervised Learning", "arXiv:2302.08747",
        2023, slug="phasenet-das", world="fibre", baseline={"filter": "none"}, tags={"teacher"}, forwards=2,
        tune={"sure": (0.1, 0.3, 0.5, 0.7)}, tasks=("regress",),
    )  # fmt: skip

    sure: float = span(0.3, 0, 1)  # probability that makes a pick of the teacher's
    sigma: float = span(3.0, 0.1, 1e3)  # samples that a pick may be off its earthquake
    least: int = span(6, 1, 10**6)  # picks that make an earthquake
    width: float = span(3.0, 0.1, 1e3)  # of the bell around a pick, in samples
    noise: float = span(0.3, 0, 10)  # that the student hears, in deviations of a trace, at most
    filter: str = choice("moveout", "none")  # 'none' believes all picks

    def source(self, run):
        batch = run.rows()
        arrival, _ = picks(run["teacher"](batch.x), self.sure)
        if self.filter == "moveout":
            kept = associated(arrival, run.world.slowness, self.sigma, min(self.least, arrival[0].numel()))
            arrival = arrival.where(kept, torch.nan)
        loud = self.noise * torch.rand_like(batch.x[:, :1, :1, :1])
        return Batch({**batch, "pick": arrival, "heard": batch.x + loud * torch.randn_like(batch.x)})

    def loss(self, run, batch):
        s = run["student"](batch.heard)
        return {"hard": run.world.hard(s, batch), "picks": picking(s, batch.pick, self.width)}
