"""Earthquakes along a fibre: eight sensors a unit apart record each, and nobody has picked when its two waves arrive."""

from __future__ import annotations

import functools
import itertools
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from understudy.core.batch import Batch
from understudy.core.errors import refuse
from understudy.core.seeds import stream
from understudy.core.world import Player
from understudy.parts.picks import picking, picks, travel
from understudy.parts.schedule import cosine
from understudy.worlds._scarce import Scarce
from understudy.worlds.digits import Part
from understudy.worlds.rows import Rows, answers, trained

SPEED, RATIO = 0.6, 1.73  # of the first wave, in sensors a sample; how many times the second's
SENSORS, LENGTH, HERTZ = 8, 144, 20  # samples: 7.2 seconds
WIDTH, NEAR, LEAST = 3.0, 4, 0.3  # of an arrival's mask; samples that a pick may be off (0.2 s); probability that makes a pick
EVENTS, SINGLE = (160, 60, 120), 1600  # for training, validation and the test; traces that the teacher learns from
SLOWNESS = torch.tensor([1 / SPEED, RATIO / SPEED])


class Picker(nn.Module):
    """A U-Net over time whose kernels reach over `across` sensors; 1 reads sensor by sensor; [N, 1, C, T] -> [N, 3, C, T]: noise,
    first, second wave"""

    def __init__(self, width: int, across: int) -> None:
        super().__init__()
        self.alone = across == 1
        conv = lambda a, b: nn.Sequential(
            nn.Conv2d(a, b, (across, 7), padding=(across // 2, 3), bias=False), nn.GroupNorm(2, b), nn.ReLU()
        )
        self.first, self.second, self.bottom = conv(1, width), conv(width, 2 * width), conv(2 * width, 2 * width)
        self.up, self.head = conv(4 * width, width), nn.Conv2d(2 * width, 3, (1, 5), padding=(0, 2))

    def forward(self, x: Tensor) -> Tensor:
        n, _, c, t = x.shape
        x = x.reshape(n * c, 1, 1, t) if self.alone else x
        a = self.first(x)
        b = self.second(F.avg_pool2d(a, (1, 4)))
        low = self.bottom(F.avg_pool2d(b, (1, 3)))
        up = self.up(torch.cat([b, F.interpolate(low, b.shape[-2:])], 1))
        out: Tensor = self.head(torch.cat([a, F.interpolate(up, a.shape[-2:])], 1))
        return out.view(n, c, 3, t).transpose(1, 2) if self.alone else out


@dataclass
class Fibre(Rows):
    """A world whose y are arrivals [N, C, 2] in samples, NaN where nobody knows, scored by the F1 of picks within 0.2 seconds.
    slowness [2]: samples from one sensor to the next, of both waves."""

    slowness: Tensor = SLOWNESS

    def __post_init__(self) -> None:
        super().__post_init__()
        self.metric, self.share = "f1", True

    def hard(self, out: Tensor, batch: Batch) -> Tensor:
        return picking(out, batch.y, WIDTH)

    def measure(self, made: nn.Module | Batch, split: Any) -> dict[str, float]:
        assert isinstance(made, nn.Module)
        out = answers(made, split.x, size=64)
        said = torch.cat([picks(part, LEAST)[0] for part in out.split(64)])
        right = int(((said - split.y.to(said)).abs() <= NEAR).sum())
        return {"f1": 2 * right / max(int(said.isfinite().sum()) + int(split.y.isfinite().sum()), 1)}

    def validate(self, artefact: nn.Module | Batch) -> float:
        return self.measure(artefact, self.data.valid)["f1"]

    def score(self, artefact: nn.Module | Batch) -> float:
        return self.measure(artefact, self.data.test)["f1"]


def fibre(seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any) -> Fibre:
    """160 earthquakes as eight sensors record them, none of them picked; the teacher reads one trace at a time and learned from
    labelled ones; a student whose kernels reach over sensors.

    An earthquake is a trace with both arrivals, laid along the fibre: each sensor has it as late as both waves take to come there
    from a source beside the fibre (even ground, the waves 0.6 and 0.35 sensors a sample fast), the time between the arrivals
    stretched to fit. Every sensor has a coupling and noise of its own, one in ten hears noise alone, and in half of the
    recordings a vehicle moves along the fibre.

    path: a folder with waveforms.npz ([records, samples, 3] at 100 Hz, the last is vertical) and picks.json ({name: {itp, its}}),
    as published with PhaseNet: real seismograms and real noise, at 20 Hz, laid along the fibre; the first 60 % of them are for
    training, the next 15 % for validation, the others for the test. Else traces are noise of two colours that fades after either
    arrival.
    """
    where, dtype = None if path is None else str(path), torch.get_default_dtype()
    sensors, length = (4, 48) if small else (SENSORS, LENGTH)
    data = _events(seed, where, dtype, (64, 16, 0) if small else EVENTS, sensors, length)
    width, steps = (2, 24) if small else (6, 300)
    world = Fibre(
        seed=seed, task="regress", data=data, batch=4, steps=steps, new_student=lambda: Picker(width, 3),
        player=Player(functools.partial(torch.optim.Adam, lr=1e-2), cosine(steps)),
    )  # fmt: skip
    with stream(seed, "teacher"):
        world.given_teacher = _teacher(where, dtype) if ready else Picker(width, 1)
    vars(world).update(changes)
    return world


@functools.cache
def _teacher(path: str | None, dtype: torch.dtype) -> nn.Module:
    """Trained on labelled traces of one sensor each, of the training part's earthquakes."""
    with stream("fibre", "teacher"):
        x, y = _recorded(_traces(path, dtype)[0], SINGLE, 1, LENGTH, quiet=True)
        net = Picker(8, 1)
    single = Fibre(seed=0, task="regress", data=Scarce("regress", SINGLE, Part(x, y), Part(x[:8], y[:8])), batch=32,
                   player=Player(functools.partial(torch.optim.Adam, lr=1e-2), cosine(300)))  # fmt: skip
    return trained(single, net, 300)


@functools.lru_cache(maxsize=4)
def _events(seed: int, path: str | None, dtype: torch.dtype, counts: tuple[int, ...], sensors: int, length: int) -> Scarce:
    parts = []
    for name, traces, n in zip(("train", "valid", "test"), _traces(path, dtype), counts, strict=True):
        with stream("fibre", name, seed if name == "train" else 0):
            parts.append(Part(*_recorded(traces, n, sensors, length)) if n else None)
    train, valid, test = parts
    assert train is not None and valid is not None
    return Scarce("regress", 0, train, valid, test)


Traces = tuple[Tensor, Tensor, Tensor]  # [R, L] traces, [R] sample of the first arrival, [R] of the second


def _recorded(traces: Traces, n: int, sensors: int, length: int, quiet: bool = False) -> tuple[Tensor, Tensor]:
    """n earthquakes at random; -> x [n, 1, sensors, length], y [n, sensors, 2]"""
    trace, p, s = traces
    pick = torch.randint(len(trace), (n,))
    lag, middle = (s - p)[pick].to(trace), (sensors - 1) / 2
    far = lag * SPEED / (RATIO - 1)  # from the source to the middle of the fibre
    lean = math.pi * torch.rand(n, dtype=trace.dtype)
    arrival = travel(middle + far * lean.cos(), far * lean.sin(), sensors, SLOWNESS.to(trace))  # [n, sensors, 2]
    first = 0.1 * length + 0.25 * length * torch.rand(n, 1, 1, dtype=trace.dtype)
    arrival = arrival - arrival.amin((1, 2), keepdim=True) + first
    t = torch.arange(length, dtype=trace.dtype)
    since_p, since_s = t - arrival[..., :1], t - arrival[..., 1:]  # [n, sensors, length]
    stretch = lag[:, None, None] / (arrival[..., 1:] - arrival[..., :1])
    own = torch.where(
        since_s >= 0, s[pick, None, None] + since_s, p[pick, None, None] + since_p.clamp(max=0) + since_p.clamp(min=0) * stretch
    )
    own = own.clamp(0, trace.shape[1] - 2)
    low = own.long()
    rows = trace[pick][:, None].expand(-1, sensors, -1)
    heard = rows.gather(-1, low).lerp(rows.gather(-1, low + 1), own - low)
    other = torch.randint(len(trace), (n, sensors))
    begin = (torch.rand(n, sensors) * (p[other] - length).clamp(min=1)).long()  # noise from before some other arrival
    noise = trace[other].gather(-1, (begin[..., None] + torch.arange(length)) % trace.shape[1])
    noise = noise / noise.std(-1, keepdim=True).clamp(min=1e-6)
    coupling = (0.3 * torch.randn(n, sensors, 1, dtype=trace.dtype)).exp()
    if not quiet:
        coupling = coupling * (torch.rand(n, sensors, 1) > 0.1)
    loud = (0.1 if quiet else 0.2) * (0.6 * torch.randn(n, 1, 1, dtype=trace.dtype)).exp()
    x = coupling * heard + loud * noise
    if not quiet:
        passes = length * torch.rand(n, 1, 1) + 4 * (2 * torch.rand(n, 1, 1) - 1) * torch.arange(sensors)[:, None]
        beat = (-((t - passes) / 8).square()).exp() * torch.randn(n, sensors, length, dtype=trace.dtype)
        x = x + 2 * (torch.rand(n, 1, 1) < 0.5) * beat
    arrival = torch.where((arrival < length) & (coupling > 0), arrival, torch.nan)
    return (x / x.std(-1, keepdim=True).clamp(min=1e-6))[:, None], arrival


@functools.cache
def _traces(path: str | None, dtype: torch.dtype) -> tuple[Traces, Traces, Traces]:
    trace, p, s = _made() if path is None else _seismograms(path)
    n = len(trace)
    ends = [0, round(0.6 * n), round(0.75 * n), n]
    return tuple((trace[i:j].to(dtype), p[i:j], s[i:j]) for i, j in itertools.pairwise(ends))  # type: ignore[return-value]


def _made(n: int = 150, before: int = 400, length: int = 900) -> Traces:
    """Noise of two colours that fades after either arrival, the second louder and slower."""
    with stream("fibre", "traces"):
        p, s = torch.full((n,), before), before + torch.randint(12, 60, (n,))
        t = torch.arange(length)
        fading = lambda at, over: (-(t - at[:, None]).clamp(min=0) / over).exp() * (t >= at[:, None])
        fast, slow = torch.randn(n, length), F.avg_pool1d(torch.randn(n, 1, length + 2), 3, 1)[:, 0]
        x = fading(p, 25) * fast + (1.5 + torch.rand(n, 1)) * fading(s, 40) * slow * 1.7
        return x + 0.1 * torch.randn(n, length), p, s


def _seismograms(path: str) -> Traces:
    import numpy as np

    folder, step = Path(path), 100 // HERTZ
    files = [folder / "waveforms.npz", folder / "picks.json"]
    if not all(f.is_file() for f in files):
        raise refuse("path", path, "a folder with waveforms.npz and picks.json", "look for its name")
    with np.load(files[0], allow_pickle=False) as held:
        x = torch.from_numpy(held["data"][..., -1].astype(np.float32))
    told = list(json.loads(files[1].read_text()).values())
    p, s = (torch.tensor([int(row[name]) // step for row in told]) for name in ("itp", "its"))
    x = x[:, : x.shape[1] // step * step].view(len(x), -1, step).mean(-1)
    fit = (s - p >= 12) & (s - p <= 70)
    x, p, s = x[fit], p[fit], s[fit]
    x = x - x[:, : int(p.min())].mean(1, keepdim=True)
    loud = torch.stack([row[a : b + 60].std() for row, a, b in zip(x, p.tolist(), s.tolist(), strict=True)])
    return x / loud[:, None].clamp(min=1e-6), p, s
