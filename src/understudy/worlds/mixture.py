"""Eight narrow ridges in the plane, one more frequent than the next: a diffusion teacher of many steps, a generator of few.

The rows have EDM's unit, a standard deviation of 0.5, so its noise levels mean here what they mean for images.
"""

from __future__ import annotations

import copy
import functools
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core import seal
from understudy.core.batch import Batch
from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import artefact, start
from understudy.core.seeds import stream
from understudy.core.world import Player, recast
from understudy.data.address import need
from understudy.parts.diffusion import denoising, noised, over, precondition
from understudy.parts.schedule import cosine
from understudy.tasks import task
from understudy.worlds.digits import Few, Part
from understudy.worlds.rows import Rows, Split, answers

MODES, STD = 8, 0.5


def draw(n: int) -> Part:
    """Rows from the current random stream: ridge k of 8 has a share of (k + 4) / 60 and points outwards; x [N, 2], y [N] is k."""
    y = torch.multinomial(torch.arange(4.0, 4 + MODES), n, replacement=True)
    angle = 2 * math.pi * y.to(torch.get_default_dtype()) / MODES
    out = torch.stack([angle.cos(), angle.sin()], 1)
    along, across = 1.4 + 0.25 * torch.randn(n, 1), 0.05 * torch.randn(n, 1)
    return Part(STD * (along * out + across * out.flip(1) * torch.tensor([-1, 1])), y)


class Ridges:
    """train 4,000 rows, valid 2,000, test 4,000; y says which ridge a row is from, and nobody needs it."""

    def __init__(self) -> None:
        with stream("mixture"):
            self.train, self.valid, self._test = draw(4000), draw(2000), draw(4000)

    @property
    def test(self) -> Part:
        seal.check("the test split of the mixture")
        return self._test


class Pictures:
    """MNIST's format: digits at half their resolution, as vectors of deviation 0.5; train 20,000, valid 2,000, test 4,000."""

    def __init__(self, path: str | Path) -> None:
        from understudy.data import load

        found = load(f"idx:{path}")
        flat = lambda p, n: Part(nn.functional.avg_pool2d(p.x[:n].to(torch.get_default_dtype()), 2).flatten(1), p.y[:n])
        train, valid, test = flat(found.train, 20000), flat(found.valid, 2000), flat(found.test, 4000)
        mean, std = train.x.mean(), train.x.std()
        self.train, self.valid, self._test = (Part((p.x - mean) / std * STD, p.y) for p in (train, valid, test))

    @property
    def test(self) -> Part:
        seal.check("the test split of the pictures")
        return self._test


class Denoiser(nn.Module):
    """E[x | x + sigma e] with EDM's preconditioning; where D is small it sees waves of x too; [N, D], [N] -> [N, D]"""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.waves = 3 if dim <= 4 else 0
        self.first = nn.Linear(dim * (1 + 2 * self.waves) + 1, width)
        self.blocks = nn.ModuleList(nn.Sequential(nn.SiLU(), nn.Linear(width, width)) for _ in range(2))
        self.out = nn.Sequential(nn.SiLU(), nn.Linear(width, dim))

    def inside(self, x: Tensor, sigma: Tensor) -> Tensor:
        """EDM's F: rows of unit variance in, numbers of unit variance out; [N, D], [N] -> [N, D]"""
        waves = [f(x * 2**k) for k in range(self.waves) for f in (torch.sin, torch.cos)]
        h = self.first(torch.cat([x, *waves, over(sigma, x).log() / 4], 1))
        for block in self.blocks:
            h = h + block(h)
        made: Tensor = self.out(h)
        return made

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        skip, size, small = (over(c, x) for c in precondition(sigma, STD))
        return skip * x + size * self.inside(small * x, sigma)


@torch.no_grad()
def many_steps(net: Denoiser, z: Tensor, steps: int = 18, scheduler: Any = None) -> Tensor:
    """What a diffusion model makes of standard normal noise in many steps, by Euler's rule of EDM unless another of diffusers'
    EDM schedulers is given; [N, D] -> [N, D]"""
    rule = scheduler or need("diffusers").EDMEulerScheduler(sigma_data=STD)
    rule.set_timesteps(steps)
    x = z * rule.sigmas[0]
    for t, level in zip(rule.timesteps, rule.sigmas, strict=False):
        x = rule.step(net.inside(rule.scale_model_input(x, t), level.to(x).expand(len(x))), t, x).prev_sample.to(x)
    return x


@dataclass
class Drawing(Rows):
    """Rows to draw more of. The student is a denoiser, at first a copy of the teacher; what is made of it is judged by what
    it draws from pure noise."""

    def student(self) -> nn.Module:
        return copy.deepcopy(self.given_teacher) if self.given_teacher is not None else self.new_student()

    def hard(self, out: Tensor, batch: Batch) -> Tensor:
        return task(self.task).hard(out, batch.x)

    def measure(self, made: nn.Module | Batch, split: Split) -> dict[str, float]:
        """The task's metrics of as many rows as the split has, from noise that is the same for everybody."""
        if not isinstance(made, nn.Module):
            return task(self.task).metrics(made.x, split.x)
        with stream(self.seed, "noise"):
            return task(self.task).metrics(answers(made, torch.randn_like(split.x)), split.x)


def mixture(
    seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, width: int = 0, **changes: Any
) -> Drawing:
    """The world; `ready` trains its teacher. path: a folder with MNIST's four files, whose digits are drawn instead of ridges."""
    data: Any = Pictures(path) if path else Ridges()
    dim, width = data.train.x.shape[1], width or (16 if small else 512 if path else 96)
    with stream(seed, "teacher"):
        net = Denoiser(dim, width)
    world = Drawing(
        seed=seed, steps=1500, data=data, batch=128, task="generate", given_teacher=net,
        player=Player(partial(torch.optim.AdamW, lr=2e-3, betas=(0.0, 0.99), weight_decay=0.01), cosine(1500), clip=10.0),
    )  # fmt: skip
    if ready:
        world.given_teacher = _taught(seed, dim, width, str(path or ""), torch.get_default_dtype())
    if small:
        world = recast(world, data=Few(data), size=64, batch=8, steps=24)
    vars(world).update(changes)
    return world


class Pairs(nn.Module):
    """A denoiser that is handed row and noise level in one; [N, D + 1] -> [N, D]"""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.net(x[:, :-1], x[:, -1])
        return made


@functools.cache
def _taught(seed: int, dim: int, width: int, path: str, _dtype: torch.dtype) -> nn.Module:
    """A denoiser trained as EDM is: log sigma ~ N(-1.2, 1.2)."""
    world = mixture(seed, path=path or None, width=width)
    clean, net, steps = world.rows, Pairs(world.student()), 20000 if path else 2000

    def rows(step: int, split: str = "train") -> Batch:
        x = clean(step, split).x
        with stream(seed, step, split, "denoise"):
            sigma = (-1.2 + 1.2 * torch.randn(len(x))).exp()
            return Batch(x=torch.cat([noised(x, sigma), sigma[:, None]], 1), y=x)

    alone = recast(
        world, rows=rows, student=lambda: net, steps=steps, player=Player(partial(torch.optim.Adam, lr=2e-3), cosine(steps, 100)),
        hard=lambda guess, batch: denoising(guess, batch.y, batch.x[:, -1], STD),
    )  # fmt: skip
    made: Any = artefact(fit(start(get("alone")(), alone, seed, device="cpu")))
    return made.net
