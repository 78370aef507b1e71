"""Stick figures whose joints are to be found: with few labels, or at dusk by who has learned by day. Generated."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from understudy.core.batch import Batch, each
from understudy.core.errors import refuse
from understudy.core.seeds import stream
from understudy.core.world import Player, recast
from understudy.parts.affine import carried, drawn, seen
from understudy.parts.joints import bones
from understudy.parts.pose_prior import PoseField, noised, off
from understudy.parts.schedule import cosine
from understudy.tasks import task
from understudy.worlds._scarce import FewLabels, Scarce
from understudy.worlds.digits import Part
from understudy.worlds.rows import Rows, answers, order, trained

SIDE, CELLS = 24, 12  # pixels of a picture, cells of a heatmap
JOINTS = ("hip", "neck", "head", "elbow r", "hand r", "elbow l", "hand l", "knee r", "foot r", "knee l", "foot l")
PARENTS = (0, 1, 1, 3, 1, 5, 0, 7, 0, 9)  # of the joints behind the hip
LENGTHS = (6.0, 2.8, 3.6, 3.6, 3.6, 3.6, 4.4, 4.4, 4.4, 4.4)  # of the bones, in pixels
DEGREES = ((-15, 15), (-20, 20), (-150, 150), (0, 120), (-150, 150), (0, 120), (-60, 60), (-100, 0), (-60, 60), (-100, 0))
KNOWN, TRAIN, VALID, TEST = 16, 600, 150, 300


@dataclass(frozen=True)
class Light:
    """How figures are drawn: `thick` pixels of a limb, brightness of the right limbs, noise, and crossing strokes; from - to."""

    thick: tuple[float, float]
    bright: tuple[float, float]
    noise: tuple[float, float]
    strokes: int
    slope: float = 0.1  # of the light across the picture


DAY = Light((1.2, 1.8), (0.8, 1.0), (0.02, 0.06), 2)
DUSK = Light((1.8, 3.2), (0.3, 0.6), (0.06, 0.14), 3, 0.4)


def poses(n: int) -> Tensor:
    """Joints of n figures, from torch's own stream, anywhere within the picture; in pixels, [n, 11, 2]

    A bone's angle is even within its joint's range, from the bone before it: elbows and knees bend one way only, which way hangs on
    where the figure looks. Feet are down, the torso nearly upright, figures 0.75 to 0.95 times as large as the lengths above."""
    between: Callable[..., Tensor] = lambda low, high: low + (high - low) * torch.rand(n)
    looks = torch.where(torch.rand(n) < 0.5, 1.0, -1.0)
    angle: list[Tensor] = [torch.zeros(n)]
    place = [torch.zeros(n, 2)]
    size = between(0.75, 0.95)
    for parent, length, (low, high) in zip(PARENTS, LENGTHS, DEGREES, strict=True):
        turn = looks * torch.deg2rad(between(low, high))
        first = parent == 0 or (parent == 1 and len(place) > 2)
        base = {0: 0.0 if len(place) == 1 else math.pi, 1: 0.0 if len(place) == 2 else math.pi}.get(parent, 0.0)
        own = base + turn if first else angle[parent] + turn
        angle.append(own)
        place.append(place[parent] + (size * length)[:, None] * torch.stack([own.sin(), -own.cos()], -1))
    joints = torch.stack(place, 1)
    least, most = joints.amin(1), joints.amax(1)
    room = (SIDE - 2.4 - (most - least)).clamp(min=0)
    return joints - least[:, None] + 1.2 + (room * torch.rand(n, 2))[:, None]


def pictures(joints: Tensor, light: Light) -> tuple[Tensor, Tensor]:
    """Figures of these joints in that light, from torch's own stream, the left limbs half as bright as the right ones, among strokes
    that belong to nobody; [n, 11, 2] in pixels -> x [n, 1, SIDE, SIDE] in about [0, 1], body [n, SIDE, SIDE] of 0 and 1"""
    n = len(joints)
    between: Callable[..., Tensor] = lambda span: (span[0] + (span[1] - span[0]) * torch.rand(n))[:, None, None]
    thick, bright, noise = between(light.thick), between(light.bright), between(light.noise)
    place = torch.arange(SIDE) + 0.5
    grid = torch.stack(torch.meshgrid(place, place, indexing="xy"), -1)
    left = torch.tensor([name.endswith(" l") for name in JOINTS[1:]])
    away = _distance(grid, joints[:, PARENTS], joints[:, 1:])
    away[:, 1] = (grid - joints[:, 2, None, None]).norm(dim=-1) - 0.9  # the head is a disc
    ink = torch.sigmoid((thick[:, None] / 2 - away) / 0.3) * torch.where(left, 0.5, 1.0)[:, None, None]
    ends = SIDE * torch.rand(2, n, light.strokes, 2)
    ends[1] = ends[0] + 0.3 * (ends[1] - ends[0])
    other = torch.sigmoid((thick[:, None] / 2 - _distance(grid, *ends)) / 0.3) * torch.rand(n, light.strokes, 1, 1)
    shown = torch.cat([ink, other], 1).amax(1) * bright
    slope = (light.slope * (2 * torch.rand(n, 2, 1, 1) - 1) * (grid.movedim(-1, 0) / SIDE - 0.5)).sum(1)
    x = shown + slope + 0.1 + noise * torch.randn(n, SIDE, SIDE)
    return x[:, None], (away < thick[:, None] / 2).any(1).long()


def _distance(grid: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Of every pixel from every line from a to b; [H, W, 2], [n, L, 2] twice -> [n, L, H, W]"""
    way, to = (b - a)[:, :, None, None], grid - a[:, :, None, None]
    along = ((to * way).sum(-1) / way.square().sum(-1).clamp(min=1e-6)).clamp(0, 1)
    away: Tensor = (to - along[..., None] * way).norm(dim=-1)
    return away


class PoseNet(nn.Module):
    """Down twice, up twice, with what was seen on the way down, to heatmaps of half the picture's side, as in an hourglass (Newell et
    al. 2016); [N, 1, H, W] -> [N, out, H/2, W/2]. `bottom`, `middle` and `top` are its levels, coarse to fine."""

    def __init__(self, c: int, out: int) -> None:
        super().__init__()
        self.stem = _block(1, c, 2)
        self.down = _block(c, 2 * c, 2)
        self.bottom = _block(2 * c, 4 * c, 2)
        self.middle = _block(6 * c, 2 * c)
        self.top = _block(3 * c, 2 * c)
        self.head = nn.Conv2d(2 * c, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.stem(x)
        b = self.down(a)
        up = self.middle(torch.cat([b, _larger(self.bottom(b))], 1))
        out: Tensor = self.head(self.top(torch.cat([a, _larger(up)], 1)))
        return out


def _block(c_in: int, c_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False), nn.GroupNorm(2, c_out), nn.LeakyReLU(0.1))


def _larger(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


@dataclass
class Sticks(FewLabels):
    """Training pictures are turned, zoomed and moved a little, with their joints; a joint that leaves the picture is hidden. Scored by
    the share of joints within 10 % of a picture's side, 2.4 pixels."""

    def rows(self, step: int, split: str = "train") -> Batch:
        if split == "train":
            return self._moved(super().rows(step, split), step)
        part = self.data.valid
        pick = torch.cat([order(len(part.x), self.seed, e, split) for e in range(2)])
        pick = pick[step * self.batch % len(part.x) :][: self.batch]
        return Batch(x=part.x[pick], y=each(part.y, lambda t: t[pick]), row=pick)

    def _moved(self, batch: Batch, step: int) -> Batch:
        with stream(self.seed, step, self.rank, "way"):
            way = drawn(batch.x, 20.0, 0.15, 0.05)
        joints = carried(batch.y["joints"], way)
        y = {"joints": joints.where((joints.abs() < 1).all(-1, keepdim=True), torch.nan)}
        if "mask" in batch.y:
            mask = batch.y["mask"]
            turned = seen(mask[:, None].clamp(min=0).to(batch.x), way, "zeros")[:, 0] > 0.5
            y["mask"] = torch.where(mask.amin((1, 2), keepdim=True) < 0, -1, turned.long())
        return Batch(x=seen(batch.x, way), y=y, row=batch.row)

    def sweep(self) -> Iterator[Batch]:
        yield from (self._taken(part) for part in torch.arange(self.size).split(256))

    def measure(self, made: nn.Module | Batch, split: Any) -> dict[str, float]:
        """The task's metrics."""
        if not isinstance(made, nn.Module):
            raise refuse("artefact", type(made).__name__, "a network: pictures with joints are no data set to be taught from")
        return task("pose").metrics(answers(made, split.x), split.y)


@dataclass
class Dusk(Sticks):
    """`rows(step)` and `sweep` are pictures at dusk, all labels hidden, as they are; `rows(step, 'source')` labelled ones by day, moved a
    little with joints and masks. Scored at dusk."""

    small: bool = False

    def rows(self, step: int, split: str = "train") -> Batch:
        if split == "train":
            return self._taken(self._turn(step, "dusk", 0, self.size, self.batch))
        if split != "source":
            return super().rows(step, split)
        day, pick = self.data.day, self._turn(step, "day", 0, len(self.data.day.x), self.batch)
        return self._moved(Batch(x=day.x[pick], y=each(day.y, lambda t: t[pick]), row=pick), step)

    def beginner(self, number: int) -> nn.Module:
        """A network that has learned by day, one for each number, each from a beginning of its own; `student` is the 0th."""
        return copy.deepcopy(_by_day(self.seed, number, torch.get_default_dtype())) if self.ready else _new(number, self.small)

    ready: bool = False

    def prior(self) -> PoseField:
        """A field of how implausible poses are, trained on poses of figures that none of the pictures shows, without pictures."""
        return copy.deepcopy(_field(self.small, torch.get_default_dtype()))


class Lights(Scarce):
    """The three splits at dusk, and `day`: labelled pictures of the source domain."""

    def __init__(self, day: Part, train: Part, valid: Part, test: Part | None = None) -> None:
        super().__init__("pose", 0, train, valid, test)
        self.day = day


@functools.cache
def _drawn(name: str, n: int, light: Light, masks: bool, dtype: torch.dtype) -> Part:
    with stream("sticks", name):
        joints = poses(n)
        x, body = pictures(joints, light)
    y: Any = {"joints": (2 * joints / SIDE - 1).to(dtype)}
    if masks:  # a cell is the body's where half of it is
        y["mask"] = (F.avg_pool2d(body.float()[:, None], SIDE // CELLS)[:, 0] >= 0.5).long()
    return Part(((x - 0.3) / 0.3).to(dtype), y)


def _adam(lr: float, steps: int) -> Player:
    return Player(functools.partial(torch.optim.Adam, lr=lr), cosine(steps), clip=10.0)


def sticks(seed: int = 0, *, ready: bool = False, small: bool = False, **changes: Any) -> Sticks:
    """600 pictures of 24 x 24 with a stick figure each, 16 of them labelled with its 11 joints, a quarter of each batch; 150 for
    validation, 300 for the test. A tiny hourglass of 17,000 weights answers with heatmaps of 12 x 12.

    Torso and feet are where people have theirs, arms go anywhere, elbows and knees bend one way; left limbs are half as bright as right
    ones, which is how they are told apart; strokes that belong to nobody cross the picture, and light, thickness and noise differ. It
    is generated; no photograph was looked at.

    ready: the student begins with a network trained on the labelled pictures."""
    sizes = (("train", 32), ("valid", 16)) if small else (("train", TRAIN), ("valid", VALID), ("test", TEST))
    parts = [_drawn(name, n, DAY, False, torch.get_default_dtype()) for name, n in sizes]
    steps = 24 if small else 150
    world = Sticks(
        seed=seed, task="pose", data=Scarce("pose", 8 if small else KNOWN, *parts), batch=8 if small else 16, steps=steps,
        portion=0.25, new_student=functools.partial(PoseNet, 2 if small else 8, len(JOINTS)), player=_adam(2e-3, steps),
    )  # fmt: skip
    if ready and not small:
        begun = _on_labels(seed, torch.get_default_dtype())
        world.new_student = lambda: copy.deepcopy(begun)
    return recast(world, **changes)


@functools.lru_cache(maxsize=16)
def _on_labels(seed: int, _dtype: torch.dtype, steps: int = 400) -> nn.Module:
    world = sticks(seed)
    with stream(seed, "student"):
        net = world.student()
    return trained(recast(world, portion=1.0), net, steps, seed, player=_adam(4e-3, steps))


def dusk(seed: int = 0, *, ready: bool = False, small: bool = False, **changes: Any) -> Dusk:
    """600 labelled pictures like those of `sticks` by day, with the figure's joints and where its body is; 600 at dusk without labels, 150
    and 300 of other figures for validation and test. At dusk limbs are 1.8 to 3.2 pixels thick for 1.2 to 1.8, less than half as
    bright, in two to three times as much noise, with more strokes and uneven light.

    ready: the student begins with a network trained by day."""
    sizes = (("train", 32), ("valid", 16)) if small else (("train", TRAIN), ("valid", VALID), ("test", TEST))
    dtype = torch.get_default_dtype()
    parts = [_drawn(f"dusk {name}", n, DUSK, True, dtype) for name, n in sizes]
    day = _drawn("day", 16 if small else TRAIN, DAY, True, dtype)
    steps = 24 if small else 150
    world = Dusk(
        seed=seed, task="pose", data=Lights(day, *parts), batch=8 if small else 16, steps=steps, small=small,
        ready=ready and not small, player=_adam(1e-3, steps),
    )  # fmt: skip
    world.new_student = lambda: world.beginner(0) if world.ready else PoseNet(2 if small else 8, len(JOINTS) + 1)
    return recast(world, **changes)


def _new(number: int, small: bool) -> nn.Module:
    with stream("beginner", number):
        return PoseNet(2 if small else 8, len(JOINTS) + 1)


@functools.lru_cache(maxsize=16)
def _by_day(seed: int, number: int, _dtype: torch.dtype, steps: int = 600) -> nn.Module:
    with stream(seed, "beginner", number):
        net = PoseNet(8, len(JOINTS) + 1)
    world = dusk(seed, batch=32)
    day = recast(world, rows=lambda step, split="train": world.rows(step, "source"))
    return trained(day, net, steps, seed, player=_adam(4e-3, steps))


@functools.cache
def _field(small: bool, dtype: torch.dtype) -> PoseField:
    """Trained on 2,000 poses with noise of all sizes, among which each pose's distance to the nearest clean ones is known."""
    n, steps = (64, 4) if small else (2000, 500)
    parents = torch.tensor(PARENTS)
    with stream("prior"):
        clean = bones(poses(n).to(dtype), parents)
        noisy = torch.cat([noised(clean, 1.2) for _ in range(4)] + [clean])
        field = PoseField(PARENTS, hidden=8 if small else 64)
    with torch.no_grad():
        distance = torch.cat([*(off(part, clean) for part in noisy[:-n].split(1000)), torch.zeros(n)]).to(dtype)
    part = Part(noisy, distance)
    world = Rows(seed=0, task="regress", data=Scarce("regress", len(noisy), part, part), batch=256, steps=steps)
    net = trained(world, _OfBones(field), steps, 0, player=_adam(3e-3, steps))
    assert isinstance(net, _OfBones)
    return net.field


class _OfBones(nn.Module):
    """Asked about directions of bones; [N, K - 1, 2] -> [N, 1]"""

    def __init__(self, field: PoseField) -> None:
        super().__init__()
        self.field = field

    def forward(self, way: Tensor) -> Tensor:
        return self.field.of_bones(way)[:, None]
