"""DMD2: improved distribution matching distillation (Yin, Gharbi, Park, Zhang, Shechtman, Durand and Freeman; 2024)."""

import copy

import torch
from torch import nn

from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.method import Method, freeze, register, span
from understudy.core.taps import tap
from understudy.parts.diffusion import Sampler, denoising, karras, matching, noised, simulate
from understudy.parts.gan import pass_as_real, tell
from understudy.parts.project import pooled


@register
class DMD2(Method):
    r"""A generator of few steps follows the difference of two scores, the data's and its own samples', and a critic's advice.

    With x = G(x_k, s_k), D the teacher's guess at clean rows, F the fake one's, which follows G, C a critic that reads inside F,

        dL(G)/dx = (F(x + s e) - D(x + s e)) / mean|x - D(x + s e)|  +  gan d/dx softplus(-C(x + s e))      every `ratio` steps
        L(F) = (1/s^2 + 1/spread^2) (F(x + s e) - x)^2 + critic L(C)                                          every step
        L(C) = softplus(C(x + s e)) + softplus(-C(real + s e))                                              every step

    all means over numbers, s and e drawn anew for each. Backward simulation: x_k = x' + s_k e, where x' is what G itself makes of
    noise in k steps, k even in 0 .. steps - 1, s_0 = high; so G learns on what it will meet.

    Shapes: x, real, e [N, ...]; s [N]; C [N].
    Departures: F begins as a copy of the student, which in its world is a copy of the teacher; noise levels are continuous, where
    the code has 1000; C reads the mean of what F's last layer reads (the paper: its bottleneck), and has an optimiser of its own,
    where C and F share one; the gradient's denominator is kept from 0; no classes, so no guidance. The learning rate (published:
    2e-6 for ImageNet) is the world's, the same for all three as there. high is 80 for images; in the plane ten times the rows'
    deviation drowns them. The baseline lacks the critic; `ratio` = 1 as well would move G five times as often in as many steps.
    """

    card = Card(
        "Improved Distribution Matching Distillation for Fast Image Synthesis", "arXiv:2405.14867", 2024, slug="dmd2",
        world="mixture", baseline={"gan": 0.0, "critic": 0.0}, tags={"teacher", "game"}, tasks=("generate",),
        forwards=7, tune={"gan": (3e-3, 0.1, 0.3, 1.0)},
    )  # fmt: skip

    steps: int = span(1, 1, 4)  # of the generator; 1 on ImageNet, 4 on SDXL
    ratio: int = span(5, 1, 1000)  # two time scales: steps of F and C to one of G
    gan: float = span(3e-3, 0, 1e2)  # weight of the critic's advice to G
    critic: float = span(1e-2, 0, 1e2)  # weight of the critic's own loss in F
    low: float = span(2e-3, 1e-4, 1.0)  # noise levels, in the unit of the rows
    high: float = span(5.0, 1.0, 1e3)
    spread: float = span(0.5, 1e-2, 1e2)  # standard deviation of the rows
    edge: float = span(0.02, 0, 0.4)  # share of the levels, at either end, at which scores are not compared

    def players(self, world):
        return {"student": world.player, "fake": world.player, "critic": world.player}

    def setup(self, world):
        student, x = world.student(), world.rows(0).x
        fake = copy.deepcopy(student)
        width = pooled(tap(fake, "penultimate", x, x.new_ones(len(x)))[1]).shape[1]
        critic = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1), nn.Flatten(0))
        return {"student": student, "teacher": freeze(world.teacher()), "fake": fake, "critic": critic}

    def source(self, run):
        real, levels = run.rows().x, self._levels(run)
        k = int(torch.randint(self.steps, ()))
        own = simulate(run["student"], torch.randn_like(real), levels[:k])
        return Batch(real=real, noisy=own + levels[k] * torch.randn_like(real), level=levels[k].expand(len(real)))

    def loss(self, run, batch):
        x = run["student"](batch.noisy, batch.level)
        s = self._draw(x)
        judged = tell(self._advice(run, batch.real), self._advice(run, x.detach()))
        learned = denoising(run["fake"](noised(x.detach(), s), s), x.detach(), s, self.spread)
        turn = {"fake": {"denoise": learned, "gan": self.critic * judged}, "critic": {"judge": judged}}
        if run.step % self.ratio:
            return turn
        s = self._draw(x, self.edge)
        with torch.no_grad():
            noisy = noised(x, s)
            match = run["teacher"](noisy, s), run["fake"](noisy, s)
        return {"student": {"match": matching(x, *match), "gan": self.gan * pass_as_real(self._advice(run, x))}} | turn

    def result(self, run):
        return Sampler(run["student"], self._levels(run))

    def _levels(self, run):
        """What G is asked at, from pure noise down; -> [steps]"""
        return karras(1 - torch.arange(self.steps, device=run.device) / self.steps, self.low, self.high)

    def _draw(self, x, edge=0.0):
        """A noise level a row; -> [N]"""
        return karras(edge + (1 - 2 * edge) * torch.rand(len(x), device=x.device), self.low, self.high)

    def _advice(self, run, x):
        """How real C takes rows to be that were noised first; [N, ...] -> [N]"""
        s = self._draw(x)
        return run["critic"](pooled(run.tap("fake", "penultimate", noised(x, s), s)[1]))
