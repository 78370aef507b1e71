"""Bags of handwritten digits: is there a nine in it? Only the bag has a label, nines are few, and half of all digits are faint."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from understudy.core.batch import Batch
from understudy.core.seeds import stream
from understudy.core.world import Player
from understudy.parts.bags import AttentionMIL
from understudy.parts.schedule import cosine
from understudy.worlds._pictures import Pictures, pictures
from understudy.worlds.digits import Few, Part
from understudy.worlds.rows import Rows, answers

SOUGHT, FAINT, NOISE = 9, 0.35, 0.1  # the class; the contrast of a faint digit; the deviation of what lies over every pixel
BAGS, SIZE, MOST = (60, 200, 400), 40, 8  # for training, validation and the test; digits in a bag; nines in a bag at most


@dataclass(frozen=True)
class Bagged(Part):
    """x [N, M, D] digits as rows of pixels; y [N]; nines [N, M], 1 a nine, 2 a faint one, 0 another digit: no method sees it."""

    nines: Tensor


@dataclass
class Bags(Rows):
    """A world of bags, scored by how often a bag with a nine is thought likelier to have one than a bag without (AUC)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.metric = "auc"

    def measure(self, made: nn.Module | Batch, split: Any) -> dict[str, float]:
        assert isinstance(made, nn.Module)
        out = answers(made, split.x)
        return {"auc": auc(out[:, 1] - out[:, 0], split.y == 1)}

    def validate(self, artefact: nn.Module | Batch) -> float:
        return self.measure(artefact, self.data.valid)["auc"]

    def score(self, artefact: nn.Module | Batch) -> float:
        return self.measure(artefact, self.data.test)["auc"]


def auc(score: Tensor, true: Tensor) -> float:
    """How often a true row scores above another, half where they are equal, and where only one kind is there; [N], [N] bool"""
    above = score[true][:, None] - score[~true]
    return ((above > 0).double() + (above == 0) / 2).mean().item() if above.numel() else 0.5


def bags(seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any) -> Bags:
    """60 bags of 40 digits, half of which hold one to eight nines; attention over the digits of a bag as student.

    Every digit, nine or not, is faint with an even chance, at 0.35 of its contrast, and noise lies over all, so a nine that is easy to
    tell hides one that isn't. Bags for training are drawn by the seed from the 897 digits that `digits` learns from, others from its
    validation and test digits.

    path: pictures instead (MNIST's four files, or another folder that `understudy.worlds._pictures` reads), grey and halved in size
    where they are larger than 14 x 14; the tenth of their classes is sought.
    """
    data = _bags(seed, None if path is None else str(path), torch.get_default_dtype(), BAGS, SIZE)
    width, steps = data.train.x.shape[-1], 300
    world = Bags(
        seed=seed, data=data, batch=16, steps=steps, new_student=lambda: student(width, 64),
        player=Player(functools.partial(torch.optim.Adam, lr=2e-3, weight_decay=1e-3), cosine(steps)),
    )  # fmt: skip
    if small:
        few = _bags(seed, None if path is None else str(path), torch.get_default_dtype(), (64, 16, 1), 8)
        world = Bags(seed=seed, data=Few(few), batch=8, steps=24, new_student=lambda: student(width, 12), player=world.player)
    vars(world).update(changes)
    return world


def student(width: int, hidden: int) -> AttentionMIL:
    """One layer for each digit, attention over them, a head; [N, M, width] -> [N, 2]"""
    return AttentionMIL(nn.Sequential(nn.Linear(width, hidden), nn.ReLU()), hidden, hidden // 2)


@functools.lru_cache(maxsize=8)
def _bags(seed: int, path: str | None, dtype: torch.dtype, counts: tuple[int, int, int], size: int) -> Pictures:
    found = pictures(path, 12000, dtype)
    chance = ((seed, "train"), ("valid",), ("test",))
    parts = (found.train, found.valid, found._test)
    return Pictures(*(_filled(part, n, size, *of) for part, n, of in zip(parts, counts, chance, strict=True)))


def _filled(part: Part, n: int, size: int, *chance: int | str) -> Bagged:
    """n bags of digits of that part, every other one with nines at any places; noise is theirs for good."""
    grey = part.x.mean(1, keepdim=True)
    grey = F.avg_pool2d(grey, 2) if grey.shape[-1] > 14 else grey
    x = (grey + 1).flatten(1)
    sought, other = (part.y == SOUGHT).nonzero()[:, 0], (part.y != SOUGHT).nonzero()[:, 0]
    with stream("bags", *chance):
        y = torch.arange(n) % 2
        there = torch.rand(n, size).argsort(1) < (y * torch.randint(1, MOST + 1, (n,)))[:, None]
        a_nine, another = (of[torch.randint(len(of), (n, size))] for of in (sought, other))
        faint = torch.rand(n, size) < 0.5
        noise = NOISE * torch.randn(n, size, x.shape[1], dtype=x.dtype)
    shown = x[torch.where(there, a_nine, another)] * torch.where(faint, FAINT, 1.0).to(x)[..., None]
    return Bagged(shown + noise - 0.5, y, there * (1 + faint.long()))
