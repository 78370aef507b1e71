"""G2SD: generic-to-specific distillation of masked autoencoders (Huang, Peng, Dong, Wei, Jiao and Ye, CVPR 2023)."""

import math

import torch.nn.functional as F
from torch import nn

from understudy.core.card import Card
from understudy.core.method import Method, register, span
from understudy.core.world import Player
from understudy.parts.divergence import wide
from understudy.parts.masked import Decoder, grid_of, scattered
from understudy.parts.stages import anew, stage


@register
class G2SD(Method):
    r"""First a small transformer foretells, from patches it sees, what a masked autoencoder makes of all; then it learns the task
    from labels and from the answers of the classifier that the autoencoder was tuned to.

        generic:   L = mean_k huber(g(f(x, m))_k - LN(h(x, m)_k)),   huber(d) = d^2 / (2 beta) if |d| < beta, else |d| - beta / 2
        specific:  L = CE(y, s(x)) + weight t^2 KL(softmax(u(x) / t) || softmax(s(x) / t))

    m hides a share `hide` of the patches from student and teacher alike, f(x, m) is the student's encoder, g a light decoder
    with a learned token for what is hidden and two layers behind it, h what is halfway through the teacher's decoder, LN a
    normalisation without weights, k runs over all patches, hidden or seen. The decoder is thrown away after the first stage, a
    share `generic` of the budget; each stage has its own schedule and optimiser.

    Shapes: m [N, L]; f [N, L', D]; g, h [N, L, D'] of the teacher's decoder; s, u [N, C] logits.
    Departures: answers are matched softly by the one head, where the authors' code has a distillation token that learns the
    teacher's labels, or NKD. Tokens are averaged in place of a class token. No mixup, erasing or layer-wise learning rates.
    """

    card = Card(
        "Generic-to-Specific Distillation of Masked Autoencoders", "arXiv:2302.14771", 2023, slug="g2sd", world="patchwork",
        baseline={"generic": 0.0}, tags={"teacher"}, tune={"generic": (0.25, 0.5, 0.6, 0.75)}, tasks=("classify",),
    )  # fmt: skip

    generic: float = span(0.6, 0, 1)  # share of the budget in the first stage: 300 epochs of 500
    hide: float = span(0.75, 0, 1)  # share of the patches that are hidden
    beta: float = span(2.0, 1e-3, 1e3)  # where the loss turns from square to straight
    width: int = span(16, 8, 4096)  # of the student's decoder, whose attention has four heads: a multiple of 4
    depth: int = span(1, 1, 64)  # blocks of it
    weight: float = span(1.0, 0, 1e3)  # of the teacher's answers
    t: float = span(1.0, 1e-2, 100)

    def players(self, world):
        how, phase = world.player, lambda step: self.stage(step, world)
        return {"student": Player(how.optimiser, anew(how.schedule, phase, world.steps), how.clip)}

    def setup(self, world):
        nets, x = super().setup(world), world.rows(0).x
        grid = grid_of(nets["student"])
        hidden = scattered(len(x), math.prod(grid), self.hide, x.device)
        f, h = (nets[name](x, hidden).shape[-1] for name in ("student", "teacher"))
        nets["decoder"] = Decoder(grid, f, self.width, self.depth)
        nets["foretell"] = nn.Sequential(nn.Linear(self.width, h), nn.GELU(), nn.Linear(h, h))
        return nets

    def source(self, run):
        batch = run.rows()
        if self.stage(run.step, run.world) == 0:
            places = math.prod(run["decoder"].grid)
            batch["hidden"] = scattered(len(batch.x), places, self.hide, batch.x.device)
            batch["target"] = run["teacher"](batch.x, batch.hidden)
        return batch

    def loss(self, run, batch):
        if self.stage(run.step, run.world) == 0:
            seen = run["student"](batch.x, batch.hidden)
            h, said = wide(batch.target), wide(run["foretell"](run["decoder"](seen, batch.hidden)))
            return {"foretell": F.smooth_l1_loss(said, F.layer_norm(h, h.shape[-1:]), beta=self.beta)}
        s, u = run["student"](batch.x), run["teacher"](batch.x)
        return {"hard": run.world.hard(s, batch), "soft": self.weight * run.world.soft(s, u, self.t)}

    def after_step(self, run, batch):
        if self.stage(run.step, run.world) != self.stage(run.step + 1, run.world):
            run.renew("student", run["student"])

    def stage(self, step, world):
        """0 generic, 1 specific; -> int"""
        return stage(step, world.steps, (self.generic, 1 - self.generic))
