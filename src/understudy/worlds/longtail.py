"""Handwritten digits of which some are frequent and some rare, judged by how well each is read."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from torch import nn

from understudy.core.seeds import stream
from understudy.core.world import Player, recast, sgd
from understudy.parts.schedule import cosine
from understudy.worlds._pictures import Pictures, pictures
from understudy.worlds.digits import Few, Net, Part
from understudy.worlds.rows import Rows

RATIO = 50  # rows of the most frequent class over those of the rarest


class Thinned:
    """Pictures whose training rows were thinned out: the k-th of C classes, counted from 0 in an order that the seed picks, keeps a
    share RATIO^(-k / (C - 1)) of its rows, at least one. Validation and test rows stay as they are, all classes alike."""

    def __init__(self, all_: Pictures, seed: int) -> None:
        self.valid, self._all = all_.valid, all_
        classes = int(all_.train.y.max()) + 1
        with stream(seed, "longtail"):
            self.frequency = torch.randperm(classes)  # the classes, most frequent first
            mixed = torch.randperm(len(all_.train.y))
        y, most = all_.train.y[mixed], int(torch.bincount(all_.train.y).min())
        kept = torch.zeros_like(y, dtype=torch.bool)
        for k, c in enumerate(self.frequency.tolist()):
            kept[(y == c).nonzero()[: max(int(most * RATIO ** (-k / (classes - 1))), 1), 0]] = True
        rows = mixed[kept]
        self.train = Part(all_.train.x[rows], all_.train.y[rows])

    @property
    def test(self) -> Part:
        return self._all.test


def longtail(seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any) -> Rows:
    """Digits of scikit-learn, of which the most frequent class has fifty times the rows of the rarest (89 and 1), 245 in all; the
    seed picks which is which. Validation and test rows have all classes alike, so accuracy is the mean over classes. A
    convolutional student of 14,000 weights, with group normalisation, so that what it says of a row doesn't hang on the others.

    path: a folder of MNIST's or CIFAR-10's files, of which 5,000 training rows are thinned out in the same way."""
    data = Thinned(pictures(path, 6000, torch.get_default_dtype()), seed)
    world = Rows(
        seed=seed, data=data, batch=32, steps=300, new_student=functools.partial(_net, data.train.x.shape[1]),
        player=Player(sgd(0.05, 0.9, 5e-4), cosine(300)),
    )  # fmt: skip
    if small:
        world = recast(world, data=Few(data), size=64, batch=8, steps=24, new_student=functools.partial(Net, 3, 4, 8, norm=False))
    return recast(world, **changes)


def _net(channels: int) -> nn.Module:
    net = Net(16, 32, 64, norm=False)
    net.stage1[0] = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
    return net
