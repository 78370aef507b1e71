"""Ten classes of pictures in five lessons of two: what was taught before isn't shown again, and is asked for all the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core.batch import Batch
from understudy.core.seeds import stream
from understudy.core.world import Player, recast, sgd
from understudy.parts.schedule import cosine
from understudy.worlds._pictures import pictures
from understudy.worlds.digits import Few, Part
from understudy.worlds.rows import Rows, order


@dataclass
class Lessons(Rows):
    """`tasks` phases of equal length; the rows of a step are of the classes of its phase only. Both orders, of rows and of
    classes, hang on the seed. Observed at the end of each phase: accuracy over all classes so far, so that the run is worth the
    average incremental accuracy.
    """

    tasks: int = 5

    def phase(self, step: int) -> int:
        return step * self.tasks // max(self.steps, 1)

    def classes(self, phase: int) -> Tensor:
        """Those of a phase; -> [C / tasks]"""
        count = int(self.data.valid.y.max()) + 1
        with stream(self.seed, "lessons"):
            mixed = torch.randperm(count)
        return mixed.chunk(self.tasks)[min(phase, self.tasks - 1)]

    def rows(self, step: int, split: str = "train") -> Batch:
        if split != "train":
            return super().rows(step, split)
        phase, part = self.phase(step), self.data.train
        pool = torch.isin(part.y, self.classes(phase)).nonzero()[:, 0]
        begun = -(-phase * self.steps // self.tasks)  # the first step of the phase
        at = torch.arange(self.batch) + (step - begun) * self.batch * self.ranks + self.rank * self.batch
        orders = {e: order(len(pool), self.seed, e, f"lesson {phase}") for e in set((at // len(pool)).tolist())}
        pick = pool[torch.stack([orders[i // len(pool)][i % len(pool)] for i in at.tolist()])]
        return Batch(x=part.x[pick], y=part.y[pick], row=pick)

    def observe(self, made: Callable[[], Any], step: int) -> float | None:
        done = self.phase(step)
        if step == 0 or self.phase(step - 1) == done:
            return None
        return self.so_far(made(), self.data.valid if self.split == "valid" else self.data.test, done)

    def so_far(self, net: nn.Module, part: Part, lessons: int) -> float:
        """Accuracy on the rows of all classes of the first lessons."""
        use = torch.isin(part.y, torch.cat([self.classes(p) for p in range(lessons)]))
        return self.measure(net, Part(part.x[use], part.y[use]))["accuracy"]


def _stage(a: int, b: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(a, b, 3, stride, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU())


class Plain(nn.Module):
    """Three convolutional stages whose normalised, positive maps are averaged into the head's features, as in a residual network.
    With the network of `digits`, whose features come from a linear layer, aligning weights did harm on validation rows.

    [N, channels, H, W] -> [N, 10]
    """

    def __init__(self, channels: int, c: int) -> None:
        super().__init__()
        self.stage1, self.stage2, self.stage3 = _stage(channels, c, 1), _stage(c, 2 * c, 2), _stage(2 * c, 4 * c, 2)
        self.head = nn.Linear(4 * c, 10)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.stage3(self.stage2(self.stage1(x))).mean((2, 3)))
        return out


def lessons(
    seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any
) -> Lessons:
    """The world; there is nothing to make ready. path: a folder of MNIST's or CIFAR-10's files, not digits."""
    data, each = pictures(path, 6000, torch.get_default_dtype()), 120 if path is None else 160
    width = 4 if small else 16 if path is None else 32
    world = Lessons(
        seed=seed, steps=5 * each, data=data, batch=32, new_student=lambda: Plain(data.train.x.shape[1], width),
        player=Player(sgd(0.1, 0.9, 5e-4), lambda step: cosine(each)(step % each)),
    )  # fmt: skip
    if small:
        world = recast(world, data=Few(data), size=64, batch=8, steps=24, split="valid")
    vars(world).update(changes)
    return world
