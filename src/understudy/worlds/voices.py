"""Synthesised voices whose arousal, dominance and valence are known, and annotators who can't agree on them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core.errors import Sealed
from understudy.core.seal import check
from understudy.core.seeds import stream
from understudy.core.world import Player, recast
from understudy.models.wav2small import Wav2Small
from understudy.parts.audio import LogMel, standardised
from understudy.parts.schedule import cosine
from understudy.worlds._recordings import RATE
from understudy.worlds._recordings import recordings as read
from understudy.worlds.rows import Rows, trained

LENGTH = 4000  # samples: half a second


@dataclass(frozen=True)
class Part:
    x: Tensor
    y: Tensor


class Splits:
    """train: `few` voices, their label the mean of three annotators; pool: many such, which the teacher learns from, the few
    among them; valid and test: voices whose labels are what all annotators of the world would say together, the truth."""

    def __init__(self, x: Tensor, truth: Tensor, few: int, cuts: tuple[int, int], seed: int, small: bool) -> None:
        """x [N, T], truth [N, 3] in [0, 1]: rows before cuts[0] are the pool, those before cuts[1] valid, the rest test"""
        with stream(seed, "annotators"):
            said = annotated(truth, 3)
        a, b = cuts
        self.pool, self.train = Part(x[:a], said[:a]), Part(x[:few], said[:few])
        self.valid, self._test, self.small = Part(x[a:b], truth[a:b]), Part(x[b:], truth[b:]), small

    @property
    def test(self) -> Part:
        if self.small:
            raise Sealed("the test split of a small world was read")
        check("the test split of voices")
        return self._test


def annotated(truth: Tensor, people: int) -> Tensor:
    """The mean of so many annotators, each with a bias and a scale of their own, drawn for every voice; [N, 3] -> [N, 3]"""
    n = len(truth)
    bias, scale = 0.15 * torch.randn(n, people, 3), (0.3 * torch.randn(n, people, 3)).exp()
    said = 0.5 + scale * (truth[:, None] - 0.5) + bias + 0.3 * torch.randn(n, people, 3)
    return said.mean(1)


def synthesised(n: int, seed: int, length: int = LENGTH) -> tuple[Tensor, Tensor]:
    """Voices [n, length] and their arousal, dominance, valence in [0, 1], [n, 3].

    Arousal quickens the syllables, deepens their beat and raises the pitch; dominance lowers pitch and first resonance; valence
    makes pitch rise and the upper harmonics bright. Who speaks (pitch, resonance), breath and room are everybody's own.
    """
    with stream(seed, "voices"):
        feeling = torch.rand(n, 3)
        a, d, v = (feeling[:, i, None] * 2 - 1 for i in range(3))
        own = lambda size: size * torch.randn(n, 1)
        t = torch.arange(length) / RATE
        pitch = 220 * (0.22 * a - 0.18 * d + own(0.15)).exp() * (1 + (0.25 * v + own(0.05)) * (t - t.mean()) * 2)
        beat = 2 * torch.pi * (5 + 2 * a + own(0.5)) * t + 2 * torch.pi * torch.rand(n, 1)
        loud = (1 + (0.5 + 0.35 * a) * beat.sin()).clamp_min(0.05)
        first, second = 600 * (-0.25 * d + own(0.1)).exp(), 1900 * own(0.1).exp()
        tilt = 1.2 - 0.5 * v + own(0.15)
        x = torch.cat([sung(*rows) for rows in zip(*(v.split(32) for v in (pitch, first, second, tilt)), strict=True)])
        x = x / x.square().mean(1, keepdim=True).sqrt() * loud + 0.2 * torch.rand(n, 1) * torch.randn(n, length)
        return x * own(0.4).exp(), feeling


def sung(pitch: Tensor, first: Tensor, second: Tensor, tilt: Tensor, harmonics: int = 12) -> Tensor:
    """Some harmonics of a pitch through two resonances, all in hertz; [N, T], [N, 1] or [N, T] thrice -> [N, T]"""
    x, phase = torch.zeros_like(pitch), 2 * torch.pi * (pitch / RATE).cumsum(1)
    for k in range(1, harmonics + 1):
        f = k * pitch
        heard = 1 / (1 + ((f - first) / 200).square()) + 0.5 / (1 + ((f - second) / 300).square()) + 0.05
        x += heard * k**-tilt * (k * phase).sin() * (f < RATE / 2)
    return x


class Ear(nn.Module):
    """The larger network: log-mel, three convolutions of stride 2, mean and deviation over time; [N, T] -> [N, 3]"""

    def __init__(self, channels: int, mels: int = 32, n_fft: int = 256) -> None:
        super().__init__()
        conv = lambda a, b: nn.Sequential(nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
        self.ear = LogMel(RATE, n_fft, mels)
        self.body = nn.Sequential(conv(1, channels), conv(channels, 2 * channels), conv(2 * channels, 3 * channels))
        width = 3 * channels * -(-mels // 8)
        self.head = nn.Sequential(nn.Linear(2 * width, 64), nn.ReLU(), nn.Linear(64, 3))

    def forward(self, x: Tensor) -> Tensor:
        f = self.body(self.ear(standardised(x))[:, None]).transpose(1, 2).flatten(2)  # [N, time, width]
        out: Tensor = self.head(torch.cat([f.mean(1), (f.var(1, correction=0) + 1e-5).sqrt()], 1))
        return out


def voices(seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any) -> Rows:
    """128 voices of half a second, each with the mean of three annotators who disagree, for a Wav2Small of 8 channels. The
    teacher has ten times as many weights and 1,536 such voices (`ready` trains it, some seconds, once a process and seed). The
    score is the mean concordance with the feelings that voices were made from.

    path: a folder of recordings (index.csv with start, stop, digit, speaker, take; *.xz of int16 first differences at 8 kHz).
    Nobody has said how those sound: three measures of each, standardised within its speaker, stand for feelings: pitch for
    arousal, weight below 1 kHz for dominance, quickness for valence; annotators are simulated as above. Takes 0 to 4 are the
    test rows, every fifth of the others is for validation.
    """
    if small:
        x, truth = synthesised(48, seed, 512)
        data = Splits(x, truth, 24, (32, 48), seed, True)
        new, big = (lambda: Wav2Small(RATE, 64, 8, 3)), (lambda: Ear(4, 8, 64))
    else:
        data = _splits(seed, path if path is None else str(path), torch.get_default_dtype())
        new, big = (lambda: Wav2Small(RATE, 256, 26, 8)), (lambda: Ear(16))
    steps = 24 if small else 200
    player = Player(functools.partial(torch.optim.Adam, lr=3e-3), cosine(steps), clip=5.0)
    world = Rows(seed=seed, task="affect", data=data, batch=8 if small else 32, steps=steps, new_student=new, player=player)
    with stream(seed, "teacher"):
        world.given_teacher = big()
    if ready and not small:
        world.given_teacher = _teacher(seed, path if path is None else str(path), torch.get_default_dtype())
    vars(world).update(changes)
    return world


@functools.lru_cache(maxsize=4)
def _splits(seed: int, path: str | None, _dtype: torch.dtype) -> Splits:
    if path is None:
        return Splits(*synthesised(1536 + 256 + 512, seed), 128, (1536, 1792), seed, False)
    x, truth, take = recordings(path)
    with stream(seed, "pool"):
        order = torch.randperm(len(x))
    order = order[((take[order] < 5).long() * 2 + (take[order] % 5 == 0).long() * (take[order] >= 5)).argsort(stable=True)]
    tests, valid = int((take < 5).sum()), int(((take % 5 == 0) & (take >= 5)).sum())
    return Splits(x[order], truth[order], 128, (len(x) - tests - valid, len(x) - tests), seed, False)


@functools.cache
def _teacher(seed: int, path: str | None, _dtype: torch.dtype) -> nn.Module:
    world = voices(seed, path=path)
    pool = object.__new__(Splits)
    pool.train, pool.valid, pool.small = world.data.pool, world.data.valid, True
    assert world.given_teacher is not None
    player = Player(functools.partial(torch.optim.Adam, lr=2e-3), cosine(250), clip=5.0)
    return trained(recast(world, size=len(pool.train.y)), world.given_teacher, 250, seed, data=pool, player=player, batch=64)


@functools.cache
def recordings(path: str) -> tuple[Tensor, Tensor, Tensor]:
    """Waveforms [N, 4000], what stands for feelings [N, 3], takes [N]. Raises `Refused` where the folder holds something else."""
    found, dtype = read(path), torch.get_default_dtype()
    measured = torch.stack([measures(wave) for wave in found.waves])
    for name in sorted(set(found.speaker)):
        mine = [i for i, speaker in enumerate(found.speaker) if speaker == name]
        own = measured[mine]
        measured[mine] = (own - own.mean(0)) / own.std(0, correction=0).clamp_min(1e-9)
    return found.cut(LENGTH, dtype), (0.5 + measured.clamp(-2.5, 2.5) / 5).to(dtype), found.take


def measures(wave: Tensor) -> Tensor:
    """Of one recording at 8 kHz: log of its pitch (median over its louder frames of the best lag of autocorrelation, 80 to
    400 Hz), log of its power below 1 kHz over that above, and minus the log of how long it lasts; [T] -> [3]"""
    wave = torch.nn.functional.pad(wave, (0, max(0, 512 - len(wave))))
    frames = wave.unfold(0, 512, 128) * torch.hann_window(512)
    loud = frames[frames.square().sum(1) >= frames.square().sum(1).median()]
    spectrum = torch.fft.rfft(loud, 1024).abs().square()
    same = torch.fft.irfft(spectrum)[:, RATE // 400 : RATE // 80]
    pitch = RATE / (same.argmax(1).median() + RATE // 400)
    low, high = spectrum[:, :128].sum() + 1e-9, spectrum[:, 128:].sum() + 1e-9
    return torch.stack([pitch.log(), (low / high).log(), -torch.tensor(float(len(wave))).log()]).double()
