"""The pictures of `scenes` in fog: a detector learned in clear air is to find its way without labels."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from understudy.core.batch import Batch, each
from understudy.core.seeds import stream
from understudy.core.world import Player, recast
from understudy.parts.boxes import carried
from understudy.parts.schedule import cosine
from understudy.parts.views import weak
from understudy.worlds._pictures import pictures
from understudy.worlds._scarce import Scarce
from understudy.worlds.digits import Part
from understudy.worlds.rows import trained
from understudy.worlds.scenes import SIDE, Detector, Scenes, composed

TRAIN, CLEAR, VALID, TEST = 400, 640, 150, 300


class Foggy(Scenes):
    """`rows(step)` and `sweep` are pictures of the target domain, in fog, all labels hidden, as they are; `rows(step, 'source')`
    labelled ones of the source domain, in clear air, zoomed and moved a little with their boxes. Scored in fog."""

    def rows(self, step: int, split: str = "train") -> Batch:
        if split == "source":
            return self._clear(step)
        if split != "train":
            return super().rows(step, split)
        return self._taken(self._turn(step, "fog", 0, self.size, self.batch))

    def _clear(self, step: int) -> Batch:
        clear, pick = self.data.clear, self._turn(step, "clear", 0, len(self.data.clear.x), self.batch)
        with stream(self.seed, step, self.rank, "view"):
            x, view = weak(clear.x[pick], 0.2, 0.1)
        y = each(clear.y, lambda t: t[pick])
        return Batch(x=x, y={**y, "boxes": carried(y["boxes"], view).clamp(0, SIDE)}, row=pick)

    def sweep(self) -> Iterator[Batch]:
        for first in range(0, self.size, 64):
            yield self._taken(torch.arange(first, min(first + 64, self.size)))


class Weather(Scarce):
    """The three splits in fog, and `clear`: labelled pictures of the source domain."""

    def __init__(self, clear: Part, train: Part, valid: Part, test: Part | None = None) -> None:
        super().__init__("detect", 0, train, valid, test)
        self.clear = clear


def foggy(seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any) -> Foggy:
    """Pictures as in `scenes`: real digits, 0 to 4, pasted among fragments of digits and noise. 640 labelled ones are clear, 400 for
    training, 150 for validation and 300 for the test lie in fog, composed of other digits. The fog is made, after Sakaridis et al.
    2018: light is lost with the distance, which is even noise between nine points, and grey scattered in; then the picture is blurred
    and loses its sharpness to noise. Each picture has its own thickness of fog, from none to the most, all alike likely.

    ready: the student begins with a detector trained on the clear pictures. path: a folder with MNIST's four files, whose digits are
    pasted instead of scikit-learn's.
    """
    path = None if path is None else str(path)
    data = _data(path, small, torch.get_default_dtype())
    world = Foggy(
        seed=seed, task="detect", data=data, batch=8, steps=100, new_student=lambda: Detector(12, 64),
        player=Player(functools.partial(torch.optim.Adam, lr=2e-4), cosine(100)),
    )  # fmt: skip
    if ready and not small:
        begun = _begun(seed, path, torch.get_default_dtype())
        world.new_student = lambda: copy.deepcopy(begun)
    if small:
        world = recast(world, steps=24, new_student=_rash)
    vars(world).update(changes)
    return world


def _rash() -> nn.Module:
    """A little one that has learned nothing and is sure of much, so that there is something to believe in a check."""
    net = Detector(4, 16, bins=2)
    last: Any = net.head[-1]
    with torch.no_grad():
        last.weight[:-4].mul_(16)
    return net


@functools.cache
def _begun(seed: int, path: str | None, _dtype: torch.dtype, steps: int = 500) -> nn.Module:
    with stream(seed, "student"):
        net = Detector(12, 64)
    world = foggy(seed, path=path)
    how = Player(functools.partial(torch.optim.Adam, lr=3e-3), cosine(steps))
    return trained(recast(world, rows=lambda step, split="train": world.rows(step, "source")), net, steps, seed, player=how)


@functools.cache
def _data(path: str | None, small: bool, dtype: torch.dtype) -> Weather:
    digits = pictures(path, 6000, dtype)
    clear = 16 if small else CLEAR
    wanted = (("train", 16), ("valid", 16)) if small else (("train", TRAIN), ("valid", VALID), ("_test", TEST))
    parts = []
    for name, n in (("clear", clear), *wanted):
        with stream("foggy", name):
            x, boxes, labels = composed(getattr(digits, "train" if name == "clear" else name), n)
            x = x if name == "clear" else fogged(x, torch.rand(n, dtype=x.dtype))
        y: Any = {"boxes": boxes, "labels": labels}
        parts.append(Part((x - 0.2) / 0.3, y))
    return Weather(*parts)


def fogged(x: Tensor, thickness: Tensor) -> Tensor:
    """Pictures in fog, blurred and noisy, from torch's own stream; x [N, 1, H, W] in [0, 1], thickness [N] in [0, 1] ->
    [N, 1, H, W] in [0, 1]"""
    thick = thickness[:, None, None, None]
    far = F.interpolate(torch.rand(len(x), 1, 3, 3, dtype=x.dtype), x.shape[-2:], mode="bilinear", align_corners=True)
    through = torch.exp(-1.5 * thick * (0.5 + far))
    x = x * through + 0.7 * (1 - through)
    x = x.lerp(F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1), thick)
    return (x + 0.06 * thick * torch.randn_like(x)).clamp(0, 1)
