"""ALP-GMM: absolute learning progress with Gaussian mixtures (Portelas, Colas, Hofmann and Oudeyer, CoRL 2019)."""

import torch

from understudy.core.card import Card
from understudy.core.method import Method, register, span
from understudy.parts.gaussians import Gaussians
from understudy.parts.memory import Ring


@register
class ALPGMM(Method):
    r"""The teacher is a bandit over tasks: it hands out those on which what the student achieves is changing.

    After an episode on task x of return r, with x' the nearest task before it and r' what that brought,

        alp = |r - r'|

    Every `refit` steps a mixture of Gaussians, their number by AIC, is fitted to the `recent` last (x, alp). A task is uniform
    with probability `explore`, or else from a Gaussian that was drawn in proportion to its mean alp. The student learns as its
    world says, and never knows that it is taught.

    Shapes: x [N, D] in the unit cube; r, alp [N].
    Departures: a step is N tasks at once, so a task's neighbour is from an earlier step, and the mixture is fitted every 15 steps
    (code: every 250 episodes; it looks back on 250, as here). The first step's alp is 0 (code: the first six episodes').
    Neighbours are looked for among the last `memory` tasks, not all. The fit stops earlier (30 rounds, a change of 0.01).
    """

    card = Card(
        "Teacher algorithms for curriculum learning of Deep RL in continuously parameterized environments",
        "arXiv:1910.07224", 2019, slug="alp-gmm", world="ladder", baseline={"explore": 1.0}, tags={"acts", "curriculum"},
        tasks=("act",), forwards=5,
    )  # fmt: skip

    explore: float = span(0.2, 0, 1)  # share of uniform tasks
    refit: int = span(15, 1, 10**6)  # steps
    recent: int = span(250, 1, 10**6)  # tasks that the mixture is fitted to
    memory: int = span(10000, 1, 10**7)  # tasks that a neighbour is looked for among
    least: int = span(2, 1, 10)  # Gaussians
    most: int = span(10, 10, 1000)

    def setup(self, world):
        d = world.rows(0).x.shape[1]
        return {
            "student": world.student(),
            "past": Ring(self.memory, d + 1),  # x, r
            "progress": Ring(self.recent, d + 1),  # x, alp
            "mixture": Gaussians(self.least, self.most, d + 1),
        }

    def source(self, run):
        x, mixture = run.rows().x, run["mixture"]
        taken = (mixture.weight > 0).to(x)
        if taken.any():
            worth = taken * mixture.mean[:, -1].clamp(min=0)
            asked = mixture.sample(worth if worth.any() else taken, len(x))[:, :-1].clamp(0, 1)
            x = x.where(torch.rand(len(x), 1, device=x.device) < self.explore, asked.to(x))
        return run.world.play(run["student"], x)

    def loss(self, run, batch):
        return {"hard": run.world.hard(run["student"](batch.seen), batch)}

    def after_step(self, run, batch):
        x, r, past = batch.x, batch.reward[:, None], run["past"].filled().to(batch.x)
        before = past[torch.cdist(x, past[:, :-1]).argmin(1), -1:] if len(past) else r
        run["past"].push(torch.cat([x, r], 1))
        run["progress"].push(torch.cat([x, (r - before).abs()], 1))
        if (run.step + 1) % self.refit == 0:
            run["mixture"].fit(run["progress"].filled())
