"""Where on a map was a panorama taken? Landmarks as seen from above and from within, generated."""

from __future__ import annotations

import copy
import functools
import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from understudy.core.batch import Batch
from understudy.core.seeds import stream
from understudy.core.world import Player, recast
from understudy.parts.divergence import wide
from understudy.parts.schedule import cosine
from understudy.worlds._scarce import Scarce
from understudy.worlds.digits import Part
from understudy.worlds.rows import Rows, answers, trained

KINDS, DIRECTIONS, WITHIN = 4, 32, 1.5  # of landmarks; columns of a ring; cells that a place may be off to count as found


@dataclass(frozen=True)
class Shape:
    """side: cells of a map. reach: cells that can be seen, as many as a ring has rows. landmarks: on a map."""

    side: int = 16
    reach: int = 5
    landmarks: int = 30


def drawn(n: int, shape: Shape, *chance: Any) -> Part:
    """n maps and panoramas, and the cells where these were taken; x {map [n, KINDS, side, side], ring [n, KINDS, reach,
    DIRECTIONS], seen [n, DIRECTIONS]}, y [n]"""
    side, reach = shape.side, shape.reach
    with stream(*chance, "landmarks"):
        at = side * torch.rand(n, shape.landmarks, 2)
        kind = torch.randint(KINDS, (n, shape.landmarks))
        above, within = (torch.rand(n, shape.landmarks) > 0.2 for _ in range(2))  # what has come or gone between the two pictures
        here = reach / 2 + (side - reach) * torch.rand(n, 2)
        map_, ring = torch.zeros(n, KINDS, side, side), torch.zeros(n, KINDS, reach, DIRECTIONS)
        row = torch.arange(n)[:, None].expand_as(kind)
        cell = at.long()
        map_[row[above], kind[above], cell[above][:, 1], cell[above][:, 0]] = 1
        way = at - here[:, None]
        far, angle = way.norm(dim=-1), torch.atan2(way[..., 1], way[..., 0])
        column = ((angle + math.pi) / (2 * math.pi) * DIRECTIONS).long() % DIRECTIONS
        apart = (column[:, :, None] - column[:, None]).abs()
        near = torch.minimum(apart, DIRECTIONS - apart) <= 1
        hidden = (near & (far[:, None] < far[:, :, None]) & within[:, None]).any(-1)  # somebody stands before it
        shown = within & ~hidden & (far < reach)
        ring[row[shown], kind[shown], far[shown].long(), column[shown]] = 1
        map_, ring = (v + 0.1 * torch.randn_like(v) for v in (map_, ring))
    dtype = torch.get_default_dtype()
    x = {"map": map_.to(dtype), "ring": ring.to(dtype), "seen": torch.ones(n, DIRECTIONS, dtype=dtype)}
    return Part(x, here[:, 1].long() * side + here[:, 0].long())  # type: ignore[arg-type]


class Localiser(nn.Module):
    """How alike the surroundings of each cell of a map are to a panorama laid flat around the camera, where that shows anything;
    {map, ring, seen} -> cosines [N, side * side]

    Both are encoded by two convolutions. A direction that isn't `seen` is dark, and left out of the comparison."""

    flat: Tensor
    inside: Tensor

    def __init__(self, shape: Shape, width: int = 8) -> None:
        super().__init__()
        self.above, self.within = (
            nn.Sequential(nn.Conv2d(KINDS, 2 * width, 3, padding=1), nn.ReLU(), nn.Conv2d(2 * width, width, 3, padding=1))
            for _ in range(2)
        )
        reach = shape.reach
        y, x = torch.meshgrid(*(torch.arange(-reach, reach + 1),) * 2, indexing="ij")
        far, angle = (x.square() + y.square()).double().sqrt(), torch.atan2(y.double(), x.double())
        column = (angle + math.pi) / (2 * math.pi) * DIRECTIONS + 1  # behind the column that is repeated before the first
        place = torch.stack([2 * column / (DIRECTIONS + 2) - 1, 2 * far / reach - 1], -1)
        self.register_buffer("flat", place.to(torch.get_default_dtype()))
        self.register_buffer("inside", (far < reach - 0.5).to(torch.get_default_dtype()))

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        n, side = len(x["map"]), x["map"].shape[-1]
        above, around, mask = self.encoded(x)
        told = F.conv2d(above.flatten(0, 1)[None], around, groups=n, padding="same")[0]
        energy = F.conv2d(above.square().sum(1)[None], mask, groups=n, padding="same")[0]
        return self._cosine(told, energy, around).reshape(n, side * side)

    def pairs(self, x: dict[str, Tensor]) -> Tensor:
        """The best cell of each map for each panorama; -> [panoramas, maps]"""
        above, around, mask = self.encoded(x)
        told = F.conv2d(above, around, padding="same")
        energy = F.conv2d(above.square().sum(1, keepdim=True), mask, padding="same")
        return self._cosine(told, energy, around).flatten(2).amax(-1).T

    def encoded(self, x: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """-> a map's features [N, C, side, side]; those around the camera [N, C, 2 reach + 1, 2 reach + 1]; where there are any"""
        seen = x["seen"][:, None, None]
        ring = self.within(x["ring"] * seen) * seen
        mask = self._laid(seen.to(ring), "nearest") * self.inside.to(ring)
        return self.above(x["map"]), self._laid(ring, "bilinear") * mask, mask

    def _laid(self, ring: Tensor, how: str) -> Tensor:
        """Flat around the camera; [N, C, R, A] -> [N, C, 2 reach + 1, 2 reach + 1]"""
        ring = torch.cat([ring[..., -1:], ring, ring[..., :1]], -1)
        place = self.flat.expand(len(ring), -1, -1, -1).to(ring)
        return F.grid_sample(ring, place, how, padding_mode="border", align_corners=False)

    def _cosine(self, told: Tensor, energy: Tensor, around: Tensor) -> Tensor:
        size = wide(around).square().sum((1, 2, 3)).clamp(min=1e-6).sqrt()[:, None, None]
        return wide(told) / (wide(energy).clamp(min=1e-6).sqrt() * size)


class Pairs(nn.Module):
    """Asked which map is whose; {map, ring, seen} -> [N, N]"""

    def __init__(self, inner: Localiser) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        return self.inner.pairs(x)


@dataclass
class Landmarks(Rows):
    """Scored by the share of panoramas that are found within a cell and a half."""

    shape: Shape = Shape()

    def measure(self, made: nn.Module | Batch, split: Any) -> dict[str, float]:
        """accuracy: share within WITHIN cells; error: the median distance in cells."""
        assert isinstance(made, nn.Module)
        side = self.shape.side
        said, true = (torch.stack([cell % side, cell // side], -1).double()
                      for cell in (answers(made, split.x).argmax(-1), split.y))  # fmt: skip
        off = (said - true).norm(dim=-1)
        return {"accuracy": (off <= WITHIN).double().mean().item(), "error": off.median().item()}


def landmarks(seed: int = 0, *, ready: bool = False, small: bool = False, **changes: Any) -> Landmarks:
    """Maps of 16 x 16 cells with 30 landmarks of four kinds, and for each a panorama from an unknown place: a ring of 32
    directions by 5 distances, in which the nearest landmark hides what stands behind it, and which faces north. A fifth of the
    landmarks is missing from either picture, independently, and both are noisy. 400 pairs to learn from, whose places nobody
    knows; 200 for validation, 400 for the test.

    `ready` trains a localiser of 3,500 weights weakly, as its papers begin: its own map is to hold a better cell than 15 others
    (logistic loss of ten times the difference of cosines). It is generated; no street and no satellite was looked at."""
    shape = Shape(10, 3, 16) if small else Shape()
    sizes = (64, 16, 0) if small else (400, 200, 400)
    train, valid, test = (drawn(n, shape, seed, split) for n, split in zip(sizes, ("train", "valid", "test"), strict=True))
    steps = 24 if small else 150
    world = Landmarks(
        seed=seed, data=Scarce("classify", 0, train, valid, None if small else test), shape=shape, batch=8 if small else 16,
        steps=steps, new_student=functools.partial(Localiser, shape, 2 if small else 8),
        player=Player(functools.partial(torch.optim.AdamW, lr=1e-3), cosine(steps), clip=1.0),
    )  # fmt: skip
    if ready and not small:
        begun = _weakly(seed, torch.get_default_dtype())
        world.new_student = lambda: copy.deepcopy(begun)
    return recast(world, **changes)


def _contrast(out: Tensor, batch: Batch) -> Tensor:
    """log(1 + exp(10 (best elsewhere - best at home))), mean over pairs; [N, N] -> []"""
    apart = F.softplus(10 * (wide(out) - wide(out).diagonal()[:, None]))
    others = ~torch.eye(len(out), dtype=torch.bool, device=out.device)
    return apart[others].mean() if len(out) > 1 else apart.sum() * 0


@functools.lru_cache(maxsize=8)
def _weakly(seed: int, _dtype: torch.dtype) -> nn.Module:
    world, steps = landmarks(seed), 400
    with stream(seed, "student"):
        net = Pairs(world.new_student())  # type: ignore[arg-type]
    how = Player(functools.partial(torch.optim.AdamW, lr=4e-3), cosine(steps), clip=1.0)
    made = trained(world, net, steps, seed, hard=_contrast, player=how)
    assert isinstance(made, Pairs)
    return made.inner
