"""Spoken digits as pictures of sound, of which one in ten is labelled: generated ones, or recordings of people."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core.seeds import stream
from understudy.core.world import Player, recast
from understudy.parts.audio import LogMel
from understudy.parts.schedule import cosine
from understudy.worlds._recordings import RATE, recordings
from understudy.worlds._scarce import FewLabels, Scarce
from understudy.worlds.digits import Part
from understudy.worlds.voices import sung

LENGTH, MELS, WINDOW = 4000, 24, 512  # samples: half a second; bands; samples: 64 milliseconds
SPEAKERS, TAKES, FEW, LABELLED = 6, 30, 3, 0.1  # of generated speech, and of a small world's; the share that has labels
LOUD = 60.0  # decibels below a recording's loudest place are silence

# Each digit as sounds: how long it lasts beside the others, its two resonances in hertz, how loud voice, hiss and breath are in
# it.
SOUNDS = (
    ((1, 300, 1800, 0.4, 0.5, 0), (2, 400, 2000, 1, 0, 0), (1, 420, 1200, 0.8, 0, 0), (3, 500, 900, 1, 0, 0)),  # z i r o
    ((1, 300, 700, 0.7, 0, 0), (3, 650, 1200, 1, 0, 0), (2, 300, 1500, 0.5, 0, 0)),  # w a n
    ((1, 300, 1700, 0, 0.6, 0), (4, 320, 900, 1, 0, 0)),  # t u
    ((1.5, 300, 1400, 0, 0, 0.3), (1, 420, 1200, 0.8, 0, 0), (3, 290, 2300, 1, 0, 0)),  # th r i
    ((1.5, 300, 1100, 0, 0, 0.25), (3, 550, 850, 1, 0, 0), (1.5, 450, 1300, 0.8, 0, 0)),  # f o r
    ((1.5, 300, 1100, 0, 0, 0.25), (2, 750, 1300, 1, 0, 0), (2, 400, 2100, 1, 0, 0), (1, 300, 1100, 0.4, 0, 0.2)),  # f a i v
    ((2, 300, 1700, 0, 0.8, 0), (2, 400, 2000, 1, 0, 0), (1, 300, 1700, 0, 0, 0), (2, 300, 1700, 0, 0.8, 0)),  # s i k s
    ((2, 300, 1700, 0, 0.8, 0), (1.5, 550, 1850, 1, 0, 0), (1, 300, 1100, 0.4, 0, 0.2), (1.5, 600, 1250, 1, 0, 0),
     (1.5, 300, 1500, 0.5, 0, 0)),  # s e v e n
    ((2, 500, 1800, 1, 0, 0), (2, 350, 2200, 1, 0, 0), (0.7, 300, 1700, 0, 0, 0), (1, 300, 1700, 0, 0.5, 0)),  # e i t
    ((1.5, 300, 1500, 0.5, 0, 0), (2, 750, 1300, 1, 0, 0), (2, 400, 2100, 1, 0, 0), (1.5, 300, 1500, 0.5, 0, 0)),  # n a i n
)  # fmt: skip


class Listener(nn.Module):
    """Three convolutions, each halving the picture; the mean over time of three bands of pitch; [N, 1, mels, frames] -> [N, 10]

    Group normalisation, so that what is said of a row doesn't hang on the rows beside it."""

    def __init__(self, channels: int, classes: int = 10) -> None:
        super().__init__()
        conv = lambda a, b: nn.Sequential(nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.GroupNorm(2, b), nn.ReLU())
        self.body = nn.Sequential(conv(1, channels), conv(channels, 2 * channels), conv(2 * channels, 4 * channels))
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d((3, 1)), nn.Flatten())
        self.head = nn.Linear(12 * channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.pool(self.body(x)))
        return out


def utterances(
    seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any
) -> FewLabels:
    """Log-mel pictures [1, 24, 14] of half a second of sound, standardised; half of a batch are of the labelled tenth, which
    the seed picks, as many of each digit. A convolutional student of 25,000 weights; the hidden labels are for
    nobody.

    The generated digits are sung, not spoken: a voice's harmonics through two resonances that move from sound to sound, hiss
    and breath beside it (see SOUNDS). Six speakers differ in pitch, length of the throat and tempo, each take in all of these
    and in noise.

    path: a folder of recordings (index.csv with start, stop, digit, speaker, take; *.xz of int16 first differences at 8 kHz).
    Either way takes 0 to 4 of every speaker and digit are the test rows, every fifth of the others is for validation."""
    data = _data(seed, None if path is None else str(path), FEW if small else TAKES, torch.get_default_dtype())
    steps, width = (24, 4) if small else (400, 16)
    world = FewLabels(
        seed=seed, data=data, batch=8 if small else 64, steps=steps, new_student=functools.partial(Listener, width),
        player=Player(functools.partial(torch.optim.Adam, lr=3e-2 if small else 6e-3), cosine(steps)),
    )  # fmt: skip
    if small:
        few = data.few("classify", 4, 64)  # so few that a network is soon sure
        for name in ("train", "valid"):
            part = getattr(few, name)
            setattr(few, name, Part(part.x[..., ::2, ::2], part.y))
        world = recast(world, data=few, size=64)
    return recast(world, **changes)


@functools.lru_cache(maxsize=4)
def _data(seed: int, path: str | None, takes: int, dtype: torch.dtype) -> Scarce:
    x, y, take = _heard(path, takes, dtype)
    train, valid, test = _split(take, takes)
    part = lambda rows: Part(x[rows], y[rows])
    with stream(seed, "labelled"):
        order = train.nonzero()[:, 0][torch.randperm(int(train.sum()))]
    place = torch.empty_like(order)  # of each row among those of its digit
    for k in range(10):
        mine = y[order] == k
        place[mine] = torch.arange(int(mine.sum()))
    known = place < LABELLED * torch.bincount(y[order], minlength=10)[y[order]]
    order = torch.cat([order[known], order[~known]])
    return Scarce("classify", int(known.sum()), part(order), part(valid), part(test) if test.any() else None)


def _split(take: Tensor, takes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Which takes are for training, for validation, for the test; a small world has none of these; [N] -> thrice [N] bool"""
    held = 0 if takes == FEW else 5
    test, valid = take < held, (take >= held) & (take % 5 == 0)
    return ~test & ~valid, valid, test


@functools.lru_cache(maxsize=3)
def _heard(path: str | None, takes: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures [N, 1, MELS, frames] around 0, digits [N], takes [N]"""
    if path is None:
        x, y, take = spoken(takes)
    else:
        found = recordings(path)
        x, y, take = found.cut(LENGTH, torch.float), found.digit, found.take
    seen = torch.cat([LogMel(RATE, WINDOW, MELS).float()(part) for part in x.split(256)]).mT
    seen = torch.maximum(seen, seen.amax((1, 2), keepdim=True) - LOUD)
    learned = seen[_split(take, takes)[0]]
    return ((seen - learned.mean()) / learned.std())[:, None].to(dtype), y, take


def spoken(takes: int, speakers: int = SPEAKERS) -> tuple[Tensor, Tensor, Tensor]:
    """Every digit so many times by each speaker; -> waveforms [N, 4000], digits [N], takes [N], N = takes x speakers x 10"""
    n = takes * speakers * 10
    row = torch.arange(n)
    y, who, take = row % 10, row // 10 % speakers, row // (10 * speakers)
    with stream("utterances"):
        own = lambda size: (size * torch.randn(speakers)).exp()[who] * (size / 2 * torch.randn(n)).exp()
        pitch, throat, tempo = 170 * own(0.3), own(0.15), own(0.15)
        x = torch.cat([_said(*rows) for rows in zip(*(v.split(64) for v in (y, pitch, throat, tempo)), strict=True)])
        x = x / x.square().mean(1, keepdim=True).sqrt() + 0.5 * torch.rand(n, 1) * torch.randn(n, LENGTH)
    return x, y, take


def _said(y: Tensor, pitch: Tensor, throat: Tensor, tempo: Tensor) -> Tensor:
    """Digits by speakers of that pitch (hertz), with resonances and lengths so many times the usual; [N] each -> [N, 4000]"""
    curves = torch.zeros(len(y), 5, LENGTH)  # two resonances; voice, hiss, breath
    for i, k in enumerate(y.tolist()):
        sounds = torch.tensor(SOUNDS[k])
        long = sounds[:, 0] * (0.2 * torch.randn(len(sounds))).exp()
        ends = (long / long.sum() * 3000 * tempo[i]).cumsum(0)
        middle = ends - long / long.sum() * 1500 * tempo[i]
        start = 600 * torch.rand(())
        t = torch.arange(LENGTH) - start
        near = (-((t[:, None] - middle) / (ends[-1] / (2.2 * len(ends)))).square()).softmax(1)  # one sound glides into the next
        level = sounds[:, 1:] * (0.08 * torch.randn(len(sounds), 5)).exp()
        curves[i] = (near @ level).T
        curves[i, 2:] *= ((t > 0) & (t < ends[-1])).float()
    first, second, voice, hiss, breath = curves.unbind(1)
    glide = (0.15 * torch.randn(len(y), 1)) * torch.linspace(-1, 1, LENGTH)
    tone = sung(pitch[:, None] * glide.exp(), first * throat[:, None], second * throat[:, None], torch.ones(len(y), 1), 24)
    noise = torch.randn(len(y), LENGTH + 1)
    return voice * tone + hiss * noise.diff() + breath * noise[:, 1:]
