"""Pictures that arrive in batches without labels, through eight faults that come and go by degrees, one after another."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from understudy.core.batch import Batch
from understudy.core.seeds import stream as chance
from understudy.core.world import Player, recast, sgd
from understudy.parts.schedule import cosine
from understudy.worlds._pictures import pictures
from understudy.worlds.digits import Few, Net
from understudy.worlds.rows import Rows, trained


def _box(x: Tensor, height: int, width: int) -> Tensor:
    padded = F.pad(x, (width // 2, width - 1 - width // 2, height // 2, height - 1 - height // 2), mode="replicate")
    return F.avg_pool2d(padded, (height, width), stride=1)


def _noise(x: Tensor, much: float) -> Tensor:
    return x + much * torch.randn_like(x)


def _blur(x: Tensor, much: float) -> Tensor:
    side = x.shape[-1] // 4 + 1
    return x.lerp(_box(x, side, side), much)


def _contrast(x: Tensor, much: float) -> Tensor:
    return x * (1 - 0.9 * much) + 0.1 * much * torch.randn_like(x)


def _impulse(x: Tensor, much: float) -> Tensor:
    return x.where(torch.rand_like(x[:, :1]) > 0.35 * much, torch.randint_like(x[:, :1], 2) * 2 - 1)


def _brightness(x: Tensor, much: float) -> Tensor:
    return (x + 1.5 * much).clamp(max=1)


def _motion(x: Tensor, much: float) -> Tensor:
    return x.lerp(_box(x, 1, x.shape[-1] // 2 + 1), much)


def _fog(x: Tensor, much: float) -> Tensor:
    coarse = torch.rand(len(x), 1, 3, 3, dtype=x.dtype)
    mist = 2 * F.interpolate(coarse, x.shape[-2:], mode="bilinear", align_corners=True)
    return (1 - 0.4 * much) * x + much * mist


def _pixels(x: Tensor, much: float) -> Tensor:
    side = x.shape[-1] // 4
    return x.lerp(F.interpolate(F.avg_pool2d(x, side, ceil_mode=True), x.shape[-2:]), much)


FAULTS: dict[str, Callable[[Tensor, float], Tensor]] = {
    f.__name__[1:]: f for f in (_noise, _blur, _contrast, _impulse, _brightness, _motion, _fog, _pixels)
}


@dataclass
class Stream(Rows):
    """A sequence of domains. Phase 0 is the source domain, `lead` batches as they are; then every fault in turn, weak at first,
    full in the middle of its time, weak again; all of that `cycles` times over. Arrivals are drawn from the split that the run is
    scored on.

    `rows(step)` are the arrivals of a step, all labels hidden; `rows(step, 'source')` labelled source rows, which `sweep` gives
    too. The run is worth the mean accuracy over arrivals, each batch answered before it is learned from.
    """

    lead: int = 30
    cycles: int = 1

    def phase(self, step: int) -> int:
        """0 for the source domain, then 1, 2 ... for the faults, counted on where they come again."""
        return 0 if step < self.lead else 1 + int(self._time(step))

    def _time(self, step: int) -> float:
        """How many faults have come and gone by the middle of this step."""
        whole = self.cycles * len(FAULTS)
        return min((step - self.lead + 0.5) * whole / max(self.steps - self.lead, 1), whole - 1e-9)

    def severity(self, step: int) -> float:
        """Of the present fault, in (0, 1]; 0 in the source domain."""
        return 0.0 if step < self.lead else 1 - 0.8 * abs(2 * (self._time(step) % 1) - 1)

    def _arrivals(self, step: int) -> tuple[Tensor, Tensor]:
        """Pictures, and which they are; [N, C, H, W], [N]"""
        clean = self.data.valid.x if self.split == "valid" else self.data.arriving
        with chance(self.seed, step, self.split, "arrivals"):
            pick = torch.randint(len(clean), (self.batch * self.ranks,))
            x = clean[pick]
            if step >= self.lead:
                x = list(FAULTS.values())[int(self._time(step)) % len(FAULTS)](x, self.severity(step))
        mine = slice(self.rank * self.batch, (self.rank + 1) * self.batch)
        return x[mine], pick[mine]

    def rows(self, step: int, split: str = "train") -> Batch:
        if split == "train":
            return Batch(x=self._arrivals(step)[0], y=torch.full((self.batch,), -1))
        return super().rows(step, "train" if split == "source" else split)

    def observe(self, made: Callable[[], Any], step: int) -> float | None:
        if step >= self.steps:
            return None
        x, pick = self._arrivals(step)
        y = self.data.valid.y if self.split == "valid" else self.data.test.y
        return _accuracy(made(), x, y[pick])

    def validate(self, artefact: Any) -> float:
        return self._under_faults(artefact, self.data.valid)

    def score(self, artefact: Any) -> float:
        return self._under_faults(artefact, self.data.test)

    def _under_faults(self, net: nn.Module, part: Any) -> float:
        """Mean accuracy under every fault at its worst, as the network is; batch by batch, since it may look at the batch."""
        marks = []
        for name, fault in FAULTS.items():
            with chance(self.seed, name, "faults"):
                x = fault(part.x, 1.0)
            batches = zip(torch.split(x, self.batch), torch.split(part.y, self.batch), strict=True)
            marks += [_accuracy(net, *rows) for rows in batches]
        return sum(marks) / len(marks)


@torch.no_grad()
def _accuracy(net: nn.Module, x: Tensor, y: Tensor) -> float:
    place = next(net.parameters()).device
    return float((net(x.to(place)).argmax(-1).cpu() == y).double().mean())


def stream(
    seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, width: int = 16, **changes: Any
) -> Stream:
    """The world; `ready` trains the source model on clean pictures. path: a folder of MNIST's or CIFAR-10's files, not digits. width:
    channels of the first stage, twice as many for larger pictures."""
    from torch.optim import Adam

    data = pictures(path, 6000, torch.get_default_dtype())
    world = Stream(
        seed=seed, steps=350, batch=50, data=data, new_student=lambda: _net(data.train.x, width),
        player=Player(functools.partial(Adam, lr=1e-3)),
    )  # fmt: skip
    if ready:
        source = _source(seed, path, width, torch.get_default_dtype())
        world.new_student = lambda: copy.deepcopy(source)
    if small:
        world = recast(world, data=Few(data), size=64, batch=8, steps=24, lead=2, split="valid")
        world.new_student = lambda: Net(4, 8, 16)
    vars(world).update(changes)
    return world


def recurring(
    seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any
) -> Stream:
    """The same faults three times over, which is what forgetting and piled up errors show in; half as wide a source model."""
    world = stream(seed, ready=ready, small=small, path=path, width=8)
    if not small:
        world = recast(world, steps=246, cycles=3)
    vars(world).update(changes)
    return world


def cloud(seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any) -> Stream:
    """The same faults once, met by a small network on a device (the student), while a large one, trained on the same clean pictures,
    is to be asked elsewhere (the teacher). Both normalise row by row, since a device may see one row at a time."""
    world = stream(seed, small=small, path=path)
    sides = {"new_student": 4, "given_teacher": 16}
    if small:
        with chance(seed, "teacher"):
            nets: dict[str, nn.Module] = {"new_student": Net(4, 8, 16, norm=False), "given_teacher": Net(8, 16, 16, norm=False)}
    elif ready:
        nets = {k: _source(seed, path, width, torch.get_default_dtype(), False) for k, width in sides.items()}
    else:
        with chance(seed, "teacher"):
            nets = {k: _net(world.data.train.x, width, False) for k, width in sides.items()}
    world.new_student, world.given_teacher = lambda: copy.deepcopy(nets["new_student"]), nets["given_teacher"]
    if not small:
        world = recast(world, steps=246)
    vars(world).update(changes)
    return world


def _net(x: Tensor, width: int, norm: bool = True) -> nn.Module:
    """Wider for pictures that are larger than digits."""
    if x.shape[1:] == (1, 8, 8):
        return Net(width, 2 * width, 4 * width, norm=norm)
    net = Net(2 * width, 4 * width, 8 * width, norm=norm)
    net.stage1[0] = nn.Conv2d(x.shape[1], 2 * width, 3, padding=1, bias=False)
    return net


@functools.cache
def _source(seed: int, path: str | Path | None, width: int, dtype: torch.dtype, norm: bool = True) -> nn.Module:
    data, steps = pictures(path, 6000, dtype), 400 if path is None else 1200
    clean = Rows(seed=seed, data=data, batch=64, steps=steps, player=Player(sgd(0.05, 0.9, 5e-4), cosine(steps)))
    with chance(seed, "teacher"):
        net = _net(data.train.x, width, norm)
    return trained(clean, net, steps, seed)
