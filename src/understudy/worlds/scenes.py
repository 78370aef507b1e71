"""Digits of many sizes among clutter, to be found and read; of 640 pictures, 20 are labelled."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from understudy.core.batch import Batch
from understudy.core.errors import refuse
from understudy.core.seeds import stream
from understudy.core.world import Player, recast
from understudy.parts.boxes import carried, pooled
from understudy.parts.schedule import cosine
from understudy.parts.views import weak
from understudy.tasks import task
from understudy.worlds._pictures import pictures
from understudy.worlds._scarce import FewLabels, Scarce
from understudy.worlds.digits import Part
from understudy.worlds.rows import trained

SIDE, CLASSES, STRIDE = 48, 5, 4
FRAGMENTS = 6
KNOWN, TRAIN, VALID, TEST = 20, 640, 150, 300


class Detector(nn.Module):
    """Two stages in little: features at a quarter of the resolution, and one head that reads any box out of them.

    [N, 1, S, S], candidates [N, A, 4] or None for its own grid -> logits [N, A, C+1], offsets and rois [N, A, 4]
    """

    def __init__(self, c: int, hidden: int, side: int = SIDE, classes: int = CLASSES, bins: int = 3) -> None:
        super().__init__()
        layer = lambda i, o, s: (nn.Conv2d(i, o, 3, s, 1, bias=False), nn.GroupNorm(4, o), nn.ReLU())
        self.body = nn.Sequential(*layer(1, c, 2), *layer(c, 2 * c, 2), *layer(2 * c, 2 * c, 1))
        self.head = nn.Sequential(nn.Linear(2 * c * bins**2, hidden), nn.ReLU(), nn.Linear(hidden, classes + 5))
        self.bins = bins
        middle = torch.arange(6.5, side - 5, 5)
        centre = torch.cartesian_prod(middle, middle).flip(1)
        half = torch.tensor([[4.0, 6.0], [6.0, 9.0]])  # of width and height: digits are taller than wide
        boxes = torch.cat([torch.cat([centre - h, centre + h], 1) for h in half])
        self.register_buffer("grid", boxes.to(torch.get_default_dtype()))

    def forward(self, x: Tensor, rois: Tensor | None = None) -> dict[str, Tensor]:
        rois = self.grid.expand(len(x), -1, -1) if rois is None else rois
        read = self.head(pooled(self.body(x), rois, STRIDE, self.bins))
        return {"logits": read[..., :-4], "offsets": read[..., -4:] / 5, "rois": rois}


class Scenes(FewLabels):
    """Training pictures are zoomed and moved a little, with their boxes. A detector's answers are a dict, [N, A, ...] each."""

    def rows(self, step: int, split: str = "train") -> Batch:
        batch = super().rows(step, split)
        if split != "train":
            return batch
        with stream(self.seed, step, self.rank, "view"):
            x, view = weak(batch.x, 0.2, 0.1)
        return Batch(x=x, y={**batch.y, "boxes": carried(batch.y["boxes"], view).clamp(0, SIDE)}, row=batch.row)

    def measure(self, made: nn.Module | Batch, split: Any) -> dict[str, float]:
        if not isinstance(made, nn.Module):
            raise refuse("artefact", type(made).__name__, "a detector: pictures with boxes are no data set to be taught from")
        mode = made.training
        with torch.no_grad():
            said = [made.eval()(part) for part in split.x.split(64)]
        made.train(mode)
        return task(self.task).metrics({k: torch.cat([s[k] for s in said]).float() for k in said[0]}, split.y)


def scenes(seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any) -> Scenes:
    """640 pictures of 48 x 48 with one to four digits in each, 0 to 4, 9 to 20 pixels high, among fragments of digits and noise; 20 are
    labelled, a quarter of each batch. The digits of training, validation and test pictures are different ones. A tiny two-stage
    detector; ready trains it on the labels first, as the papers' begin from networks that know something already.

    path: a folder with MNIST's four files, whose digits are pasted instead of scikit-learn's.
    """
    path = None if path is None else str(path)
    data = _data(path, small, torch.get_default_dtype())
    world = Scenes(
        seed=seed, task="detect", data=data, batch=8, portion=0.25, steps=200, new_student=lambda: Detector(12, 64),
        player=Player(functools.partial(torch.optim.Adam, lr=2e-3), cosine(200)),
    )  # fmt: skip
    if ready and not small:
        begun = _begun(seed, path, torch.get_default_dtype())
        world.new_student = lambda: copy.deepcopy(begun)
    if small:
        world = recast(world, steps=24, new_student=lambda: Detector(4, 16, bins=2))
    vars(world).update(changes)
    return world


@functools.cache
def _begun(seed: int, path: str | None, _dtype: torch.dtype, steps: int = 400) -> nn.Module:
    with stream(seed, "student"):
        net = Detector(12, 64)
    how = Player(functools.partial(torch.optim.Adam, lr=3e-3), cosine(steps))
    return trained(scenes(seed, path=path, portion=1.0), net, steps, seed, player=how)


@functools.cache
def _data(path: str | None, small: bool, dtype: torch.dtype) -> Scarce:
    digits = pictures(path, 6000, dtype)
    parts = []
    for name, n in (("train", 16), ("valid", 16)) if small else (("train", TRAIN), ("valid", VALID), ("_test", TEST)):
        with stream("scenes", name):
            x, boxes, labels = composed(getattr(digits, name), n)
        parts.append(Part((x - 0.2) / 0.3, {"boxes": boxes, "labels": labels}))
    return Scarce("detect", 4 if small else KNOWN, *parts)


def composed(glyphs: Part, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """x [n, 1, 48, 48] in [0, 1], boxes [n, 4, 4], labels [n, 4]; one object at most in each quarter of a picture, all of it inside"""
    few = glyphs.y < CLASSES
    ink, names = (glyphs.x[few, 0] + 1) / 2, glyphs.y[few]
    inked, half = ink > 0.2, SIDE // 2
    tight = torch.cat(
        [torch.stack([m.any(1).int().argmax(1), m.any(2).int().argmax(1)], 1) for m in (inked, inked.flip(1, 2))], 1
    )
    tight = (tight * torch.tensor([1, 1, -1, -1]) + torch.tensor([0, 0, ink.shape[2], ink.shape[1]])).to(ink)
    whole = lambda low, high, *shape: torch.randint(low, high, shape).to(ink)

    def at(corner: Tensor, size: Tensor) -> Tensor:
        return torch.cat([corner, corner + size], -1)

    piece, size = torch.randint(len(ink), (n, FRAGMENTS)), whole(4, 8, n, FRAGMENTS, 2)
    middle = ink.shape[-1] // 2
    window = at(whole(0, middle + 1, n, FRAGMENTS, 2), torch.full_like(size, middle))
    clutter, _ = _drawn(ink[piece], window, at((torch.rand_like(size) * (SIDE - size)).round(), size))
    which = torch.randint(len(ink), (n, 4))
    shape = tight[which][..., 2:] - tight[which][..., :2]
    high = whole(9, 21, n, 4)
    wide = (high * shape[..., 0] / shape[..., 1] * (0.8 + 0.4 * torch.rand(n, 4))).round().clamp(4, 20)
    size = torch.stack([wide, high], -1)
    corner = half * torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]]) + (torch.rand_like(size) * (half - size)).round()
    there = torch.rand(n, 4).argsort(1) < torch.randint(1, 5, (n, 1))
    digits, inside = _drawn(ink[which], tight[which], at(corner, size))
    under = 1 - 0.8 * (inside & there[..., None, None]).any(1)  # what lies under a digit shines through a little
    x = torch.maximum(clutter.amax(1) * under, (digits * there[..., None, None]).amax(1))
    x = (x + 0.08 * torch.randn_like(x)).clamp(0, 1)[:, None]
    return x, at(corner, size) * there[..., None], names[which].where(there, CLASSES)


def _drawn(ink: Tensor, window: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """What is in the window of each picture of ink, brought to its place on a canvas of its own, in some brightness; and where that is;
    ink [n, M, h, w], window and place [n, M, 4] -> [n, M, 48, 48] twice"""
    shape, ink = place.shape[:2], ink.flatten(0, 1)[:, None]
    window, place = window.flatten(0, 1), place.flatten(0, 1)
    way = (torch.arange(SIDE) + 0.5 - place[:, :2, None]) / (place[:, 2:] - place[:, :2])[..., None]  # [K, 2, 48], 0 to 1 inside
    at = (
        2 * (window[:, :2, None] + way * (window[:, 2:] - window[:, :2])[..., None]) / torch.tensor(ink.shape[:1:-1])[:, None] - 1
    )
    x, y = torch.broadcast_tensors(at[:, 0, None, :], at[:, 1, :, None])
    within = (way > 0) & (way < 1)
    inside = within[:, 0, None, :] & within[:, 1, :, None]
    seen = F.grid_sample(ink, torch.stack([x, y], -1), align_corners=False)[:, 0]
    bright = 0.5 + 0.5 * torch.rand(len(ink), 1, 1)
    return (bright * seen * inside).unflatten(0, shape), inside.unflatten(0, shape)
