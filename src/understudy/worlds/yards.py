"""Cars, people and cyclists in flat scans of yards, to be found from above; of 800 scans, 40 are labelled."""

from __future__ import annotations

import copy
import functools
import math
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core.batch import Batch
from understudy.core.seeds import stream
from understudy.core.world import Player, recast
from understudy.parts.boxes import assign, balanced, candidate_losses, carried, pooled
from understudy.parts.points import put_back, rasterised, shuffled, turned
from understudy.parts.schedule import cosine
from understudy.worlds._scarce import FewLabels, Scarce
from understudy.worlds.digits import Part
from understudy.worlds.rows import trained
from understudy.worlds.scenes import Scenes

METRES, CELLS, RAYS = 9.6, 48, 180
KNOWN, TRAIN, VALID, TEST = 40, 800, 120, 240
KINDS = ("car", "person", "cyclist")
CLASSES, OBJECTS, CLUTTER = len(KINDS), 5, 5
#                       car   person cyclist wall  pole  bush
LENGTH = torch.tensor([4.20, 0.60, 1.80, 3.50, 0.25, 1.20]) / METRES
WIDTH = torch.tensor([1.80, 0.80, 0.80, 0.20, 0.25, 1.00]) / METRES
CORNERS = torch.tensor(
    [6.0, 2.0, 1.4, 8.0, 2.0, 2.0]
)  # exponent of a superellipse: 2 is round, more has corners, less is pointed
RAGGED = torch.tensor([0.0, 0.05, 0.05, 0.0, 0.0, 0.30])


class FromAbove(nn.Module):
    """Points on a grid, features of its cells, and one head that reads any box out of them; candidates are spread over the scene.

    points [N, P, 3], candidates [N, A, 4] or None for its own -> logits [N, A, C+1], offsets and rois [N, A, 4]; with order [N, 4]
    the scene's quarters are shuffled before the features are made, and these are put back before they are read
    """

    grid: Tensor

    def __init__(self, c: int, hidden: int, cells: int = CELLS, bins: int = 3, least: float = 0.8) -> None:
        super().__init__()
        layer: Any = lambda i, o, s: (nn.Conv2d(i, o, 3, s, 1, bias=False), nn.GroupNorm(4, o), nn.ReLU())
        self.body = nn.Sequential(*layer(3, c, 2), *layer(c, 2 * c, 1), *layer(2 * c, 2 * c, 1))
        self.head = nn.Sequential(nn.Linear(2 * c * bins**2, hidden), nn.ReLU(), nn.Linear(hidden, CLASSES + 5))
        self.cells, self.bins = cells, bins
        grid = torch.cat([spread(*size, least) for size in ((4.2, 1.8), (1.8, 4.2), (1.8, 0.8), (0.8, 1.8), (0.7, 0.7))])
        self.register_buffer("grid", grid.to(torch.get_default_dtype()))

    def forward(self, x: Tensor, rois: Tensor | None = None, order: Tensor | None = None) -> dict[str, Tensor]:
        rois = self.grid.expand(len(x), -1, -1) if rois is None else rois
        features = self.body(rasterised(x if order is None else shuffled(x, order), self.cells))
        features = features if order is None else put_back(features, order)
        read = self.head(pooled(features, rois, 2 / self.cells, self.bins))
        return {"logits": read[..., :-4], "offsets": read[..., -4:] / 5, "rois": rois}


def spread(wide: float, high: float, least: float) -> Tensor:
    """Boxes of that size in metres all over the scene, half of it apart, but `least` metres; -> [A, 4]"""
    half = torch.tensor([wide, high]) / METRES / 2
    x, y = (torch.linspace(float(h), 1 - float(h), round((1 - 2 * float(h)) / max(float(h), least / METRES)) + 1) for h in half)
    middle = torch.cartesian_prod(x, y)
    return torch.cat([middle - half, middle + half], 1)


class Yards(Scenes):
    """Training scans are mirrored, zoomed and moved a little, with their boxes. A detector's answers are a dict, [N, A, ...] each."""

    def hard(self, out: Any, batch: Batch) -> Tensor:
        """Classes and places, mean over labelled scans. Candidates are many and objects few, so background counts five times as much
        as objects, not alike as where they are pictures."""
        known = (batch.y["labels"] >= 0).any(1)
        labels, boxes = assign(out["rois"], batch.y["boxes"], batch.y["labels"], CLASSES)
        front = labels < CLASSES
        classes, places = candidate_losses(out, labels, balanced(front) * torch.where(front, 1, 5), boxes, front)
        mean: Tensor = ((classes + places) * known).sum() / known.sum().clamp(min=1)
        return mean

    def rows(self, step: int, split: str = "train") -> Batch:
        batch = FewLabels.rows(self, step, split)
        if split != "train":
            return batch
        with stream(self.seed, step, self.rank, "view"):
            x, view = turned(batch.x)
        return Batch(x=x, y={**batch.y, "boxes": carried(batch.y["boxes"], view).clamp(0, 1)}, row=batch.row)


def yards(seed: int = 0, *, ready: bool = False, small: bool = False, **changes: Any) -> Yards:
    """800 scans of made yards, 9.6 m wide and deep, seen from above as points; 40 are labelled, a quarter of each batch. Nothing in
    them is recorded: outlines of up to five cars, people and cyclists and five walls, poles and bushes are drawn, none over another, each
    with a size of its own and turned along the yard or across it, give or take 10 degrees. A range sensor in the middle of the lower
    edge, 0.6 m outside, sends 180 rays over half a circle; each ends at the first outline that it meets, so that what is behind
    isn't seen and what is far has few points. Ranges err by 2 cm, a tenth of the returns are lost, 3 % come from anywhere on the
    way. Boxes are those around whole outlines, along the axes; who has fewer than three points is no object. In units of the
    yard's side; the order of the points says nothing. Scored by AP50, mean over the kinds.

    A tiny detector on a grid of 20 cm; ready trains it on the labels first, as the papers' are.
    """
    data = _data(small, torch.get_default_dtype())
    world = Yards(
        seed=seed, task="detect", data=data, batch=8, portion=0.25, steps=60, new_student=lambda: FromAbove(12, 48),
        player=Player(functools.partial(torch.optim.Adam, lr=2e-3), cosine(60)),
    )  # fmt: skip
    if ready and not small:
        begun = _begun(seed, torch.get_default_dtype())
        world.new_student = lambda: copy.deepcopy(begun)
    if small:
        world = recast(world, steps=24, new_student=lambda: FromAbove(4, 8, 16, bins=2, least=2.4))
    vars(world).update(changes)
    return world


@functools.cache
def _begun(seed: int, _dtype: torch.dtype, steps: int = 400) -> nn.Module:
    with stream(seed, "student"):
        net = FromAbove(12, 48)
    how = Player(functools.partial(torch.optim.Adam, lr=1e-2), cosine(steps))
    return trained(yards(seed, portion=1.0), net, steps, seed, player=how)


@functools.cache
def _data(small: bool, dtype: torch.dtype) -> Scarce:
    parts = []
    for name, n in (("train", 16), ("valid", 16)) if small else (("train", TRAIN), ("valid", VALID), ("_test", TEST)):
        with stream("yards", name):
            made = [scanned(*drawn_up(min(50, n - first))) for first in range(0, n, 50)]
        x, boxes, labels = (torch.cat(piece) for piece in zip(*made, strict=True))
        y: Any = {"boxes": boxes.to(dtype), "labels": labels}
        parts.append(Part(x.to(dtype), y))
    return Scarce("detect", 4 if small else KNOWN, *parts)


def drawn_up(n: int) -> tuple[Tensor, Tensor]:
    """Outlines [n, T, 16, 2] of what stands in a yard, all of it inside and apart from the others, objects first, and what each is
    [n, T]: a place in `LENGTH`, or -1, where there was no room"""
    count = OBJECTS + CLUTTER
    kind = torch.cat([torch.randint(CLASSES, (n, OBJECTS)), torch.randint(CLASSES, len(LENGTH), (n, CLUTTER))], 1)
    angle = torch.arange(16) / 16 * 2 * math.pi
    power = (2 / CORNERS[kind])[..., None]
    rough = 1 + RAGGED[kind][..., None] * (2 * torch.rand(n, count, 16) - 1)
    size = torch.stack([LENGTH[kind], WIDTH[kind]], -1) * (0.85 + 0.3 * torch.rand(n, count, 2)) / 2
    x, y = (f(angle).sign() * f(angle).abs() ** power * rough * size[..., i, None] for i, f in enumerate((torch.cos, torch.sin)))
    turn = (torch.randint(4, (n, count, 1)) / 2 + (2 * torch.rand(n, count, 1) - 1) / 18) * math.pi
    shape = torch.stack([turn.cos() * x - turn.sin() * y, turn.sin() * x + turn.cos() * y], -1)
    low, high = shape.amin(2), shape.amax(2)
    outlines = shape + (torch.rand(n, count, 2) * (1 - high + low) - low)[:, :, None]
    low, high = outlines.amin(2), outlines.amax(2)
    stands = torch.rand(n, count) < 0.8
    gap = 0.3 / METRES
    for k in range(1, count):
        near = ((low[:, :k] < high[:, k, None] + gap) & (low[:, k, None] < high[:, :k] + gap)).all(-1)
        stands[:, k] &= ~(near & stands[:, :k]).any(1)
    return outlines, kind.where(stands, -1)


def scanned(outlines: Tensor, kind: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What the sensor sees, from torch's own stream: points [n, 180, 3], boxes [n, 5, 4], labels [n, 5]"""
    n = len(outlines)
    sensor = torch.tensor([0.5, 1 + 0.6 / METRES])
    angle = (torch.arange(RAYS) + 0.5) / RAYS * math.pi
    ray = torch.stack([angle.cos(), -angle.sin()], -1)
    begin, way = outlines.flatten(1, 2) - sensor, (outlines.roll(-1, 2) - outlines).flatten(1, 2)  # of the outlines' sides
    cross: Any = lambda a, b: a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    across = cross(ray[:, None], way[:, None])  # [n, rays, sides]
    far = cross(begin, way)[:, None] / across
    along = cross(begin[:, None], ray[:, None]) / across
    meets = (far > 0) & (along >= 0) & (along < 1) & (kind >= 0).repeat_interleave(16, 1)[:, None]
    far, side = far.where(meets, torch.inf).min(2)
    whose = (side // 16).where(far.isfinite(), -1)
    chance = torch.rand(n, RAYS)
    whose = whose.where(chance > 0.13, -1)  # lost, or
    stray = (chance > 0.10) & (chance <= 0.13)  # from anywhere on the way
    seen = far.clamp(max=1.0) * torch.where(stray, torch.rand(n, RAYS), 1) + 0.02 / METRES * torch.randn(n, RAYS)
    place = sensor + seen[..., None] * ray
    there = ((whose >= 0) | stray) & ((place >= 0) & (place < 1)).all(-1)
    points = torch.cat([place * there[..., None], there[..., None]], -1)
    hits = ((whose[..., None] == torch.arange(OBJECTS)) & there[..., None]).sum(1)
    known = (kind[:, :OBJECTS] >= 0) & (hits >= 3)
    boxes = torch.cat([outlines.amin(2), outlines.amax(2)], -1)[:, :OBJECTS]
    return points, boxes * known[..., None], kind[:, :OBJECTS].where(known, CLASSES)
