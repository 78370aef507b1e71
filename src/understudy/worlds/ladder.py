"""A course of platforms to leap along: how wide the gaps and how high the steps is the task, and not every course can be run."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from understudy.core import seal
from understudy.core.batch import Batch
from understudy.core.errors import Sealed
from understudy.core.seeds import stream
from understudy.core.world import Player, World, recast
from understudy.data.address import need
from understudy.tasks import task

GAP, RISE, MOST = (0.2, 3.0), (0.0, 2.0), 4.0  # ranges of the two sides of a task; the energy that a leap may take
PLATFORMS, EDGE, GUST = 4, 0.25, 0.005  # landings to be made; half a platform; relative noise of a leap's energy


def _sides(x: Any) -> tuple[Any, Any]:
    """Gap and rise of tasks in the unit square; [N, 2] -> [N], [N]"""
    return (low + (high - low) * x[..., i] for i, (low, high) in enumerate((GAP, RISE)))  # type: ignore[return-value]


def _feasible(x: Tensor) -> Tensor:
    """Whether a leap of g^2 / (g - h) lands in the middle of the next platform, with something to spare: it must be on its way
    down there, g > 2 h, and within reach; [N, 2] -> [N]"""
    g, h = _sides(x)
    return (g > 2 * h + 0.1) & (g.square() < 0.95 * MOST * (g - h))


@functools.cache
def _course() -> Any:
    gymnasium, vector = need("gymnasium"), need("gymnasium.vector")

    class Course(vector.VectorEnv):  # type: ignore[misc]
        """Runners on courses of their own. A leap at 45 degrees with energy e is at height x - x^2 / e after x, and lands where
        that is the rise; beside the platform, or against it, the run is over. What is seen: the gap as it is now, and the rise."""

        metadata = {"autoreset_mode": vector.AutoresetMode.DISABLED}
        single_observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)
        single_action_space = gymnasium.spaces.Box(-np.inf, np.inf, (), np.float64)

        def __init__(self, num_envs: int) -> None:
            self.num_envs = num_envs
            self.observation_space, self.action_space = (
                gymnasium.vector.utils.batch_space(s, num_envs) for s in (self.single_observation_space, self.single_action_space)
            )

        def reset(self, *, seed: Any = None, options: Any = None) -> Any:
            """options: {'tasks': [num_envs, 2]}"""
            super().reset(seed=seed)
            self.gap, self.rise = _sides(options["tasks"])
            self.now, self.over, self.landed = self.gap.copy(), np.zeros(self.num_envs, bool), np.zeros(self.num_envs, int)
            return self._seen(), {}

        def step(self, actions: Any) -> Any:
            e = np.clip(actions * (1 + GUST * self.np_random.standard_normal(self.num_envs)), 1e-6, MOST)
            room = e * e - 4 * e * self.rise
            off = (e + np.sqrt(np.maximum(room, 0))) / 2 - self.now
            hit = ~self.over & (room >= 0) & (np.abs(off) <= EDGE)
            self.landed += hit
            self.now = np.where(hit, self.gap - off, self.now)
            self.over = ~hit | (self.landed == PLATFORMS)
            return self._seen(), hit / PLATFORMS, self.over.copy(), np.zeros(self.num_envs, bool), {}

        def _seen(self) -> Any:
            unit = ((v - low) / (high - low) for v, (low, high) in ((self.now, GAP), (self.rise, RISE)))
            return np.stack(list(unit), -1)

    return Course


class Policy(nn.Module):
    """The energy of a leap, from bumps on a grid over what is seen; [..., 2] -> [...]"""

    centres: Tensor

    def __init__(self, grid: int, first: float) -> None:
        super().__init__()
        axis = torch.linspace(0, 1, grid)
        self.register_buffer("centres", torch.cartesian_prod(axis, axis))
        self.width = 1 / (grid - 1)
        self.energy = nn.Parameter(first + 0.05 * torch.randn(grid * grid))

    def forward(self, seen: Tensor) -> Tensor:
        far = (seen[..., None, :] - self.centres).square().sum(-1)
        return (-far / (2 * self.width**2)).softmax(-1) @ self.energy


@dataclass
class Ladder(World):
    """Tasks in the unit square, each played `tries` times; what the policy did is worth what it brought beyond the mean of those.

    grid: bumps of the policy along a side. first: energy of an untaught leap. noise: standard deviation of what is done around what
    the policy says. held: tasks to be scored on, all of which can be done. shut: whether the test split is sealed for good.
    """

    grid: int = 10
    first: float = 0.3
    tries: int = 4
    noise: float = 0.15
    held: int = 400
    shut: bool = False

    def student(self) -> nn.Module:
        return Policy(self.grid, self.first)

    def rows(self, step: int, split: str = "train") -> Batch:
        with stream(self.seed, step, split, "tasks", self.rank):
            return Batch(x=torch.rand(self.batch, 2))

    @torch.no_grad()
    def play(self, actor: nn.Module, x: Tensor, noise: float | None = None) -> Batch:
        """x [N, 2] as it is, reward [N] (a task's mean return), seen [N tries, L, 2] and acted [N tries, L, 2] (see Act)."""
        noise, tasks = self.noise if noise is None else noise, x.repeat_interleave(self.tries, 0)
        course = _course()(len(tasks))
        now, _ = course.reset(seed=int(torch.randint(2**31 - 1, ())), options={"tasks": tasks.cpu().double().numpy()})
        seen, done, gained, alive = [], [], [], [torch.ones(len(tasks), dtype=torch.bool, device=x.device)]
        for _ in range(PLATFORMS):
            seen.append(torch.as_tensor(now).to(x))
            middle = actor(seen[-1]).to(x)
            done.append(middle + noise * torch.randn_like(middle))
            now, reward, over, _, _ = course.step(done[-1].cpu().double().numpy())
            gained.append(torch.as_tensor(reward).to(x))
            alive.append(torch.as_tensor(~over).to(x.device))
        left = (
            torch.stack(gained, 1).flip(1).cumsum(1).flip(1).view(len(x), self.tries, -1)
        )  # what was still to come at each step
        worth = (left - left.mean(1, keepdim=True)).flatten(0, 1)
        acted = torch.stack([torch.stack(done, 1), worth], -1)
        acted[~torch.stack(alive[:-1], 1)] = float("nan")
        return Batch(x=x, reward=left[..., 0].mean(1), seen=torch.stack(seen, 1), acted=acted)

    def hard(self, out: Tensor, batch: Batch) -> Tensor:
        scale = torch.tensor([self.noise, 1.0]).to(batch.acted)
        return task(self.task).hard(out / self.noise, batch.acted / scale)

    def validate(self, artefact: nn.Module | Batch) -> float:
        return self._mastered(artefact, "valid")

    def score(self, artefact: nn.Module | Batch) -> float:
        seal.check("the held-out courses of the test split")
        if self.shut:
            raise Sealed("the test split of a small world was read")
        return self._mastered(artefact, "test")

    def _mastered(self, actor: Any, split: str) -> float:
        device = next(actor.parameters()).device
        with stream(self.seed, split, "held"):
            x = torch.rand(40 * self.held, 2)
            x = x[_feasible(x)][: self.held].to(device)
            once = Ladder(tries=1)
            reward = once.play(actor, x, noise=0.0).reward
        return task(self.task).metrics(reward, torch.ones_like(reward))[self.metric]


def ladder(seed: int = 0, *, ready: bool = False, small: bool = False, **changes: Any) -> Ladder:
    """There is no teacher network to be made `ready`: who chooses the tasks is the teacher."""
    world = Ladder(
        seed=seed,
        batch=16,
        steps=400,
        task="act",
        metric="mastered",
        player=Player(functools.partial(torch.optim.Adam, lr=0.05, eps=1e-3)),
    )
    if small:
        world = recast(
            world, batch=8, steps=24, grid=4, first=1.5, noise=0.8, held=20, shut=True
        )  # where something comes of it at once
    return recast(world, **changes)
