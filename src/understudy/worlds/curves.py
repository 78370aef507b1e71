"""Numbers to be told from noisy rows: diabetes patients, or a sinusoid."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core import seal
from understudy.core.errors import Sealed
from understudy.core.seeds import stream
from understudy.core.world import Player, recast
from understudy.parts.schedule import cosine
from understudy.worlds.digits import Part
from understudy.worlds.rows import Rows

SPLIT = (150, 100, 192)  # training, validation and test rows


class Noisy:
    """Rows in an order that the seed picks; inputs and target are standardised by the training rows. kind: see `curves`. A small
    one's test split stays shut."""

    def __init__(self, seed: int, kind: str, sizes: tuple[int, int, int]) -> None:
        x, y = _diabetes() if kind == "diabetes" else _sinusoid(seed)
        with stream(seed, "curves"):
            order = torch.randperm(len(y))
        known = order[: SPLIT[0]]
        x, y = ((v - v[known].mean(0)) / v[known].std(0) for v in (x, y))
        ends = (0, SPLIT[0], SPLIT[0] + SPLIT[1])
        dtype = torch.get_default_dtype()
        parts = (order[first : first + n] for first, n in zip(ends, sizes, strict=True))
        self.train, self.valid, self._test = (Part(x[i].to(dtype), y[i].to(dtype)) for i in parts)

    @property
    def test(self) -> Part:
        seal.check("the test split of curves")
        if not len(self._test.y):
            raise Sealed("the test split of a small world was read")
        return self._test


def _diabetes() -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_diabetes

    found = load_diabetes()
    return torch.as_tensor(found.data), torch.as_tensor(found.target)


def _sinusoid(seed: int) -> tuple[Tensor, Tensor]:
    """sin x for x even in [0, 10], with noise of deviation 1/2"""
    with stream(seed, "sinusoid"):
        x = 10 * torch.rand(sum(SPLIT), 1, dtype=torch.double)
        return x, x[:, 0].sin() + 0.5 * torch.randn(len(x), dtype=torch.double)


def curves(seed: int = 0, *, ready: bool = False, small: bool = False, kind: str = "diabetes", **changes: Any) -> Rows:
    """150 rows to learn from, 100 for validation, 192 for the test. kind 'diabetes': 442 patients of scikit-learn, ten numbers of
    each and how their illness went on; 'sinusoid': sin x in noise, generated. A perceptron of two layers."""
    sizes = (64, 16, 0) if small else SPLIT
    data, steps = Noisy(seed, kind, sizes), 24 if small else 300
    width = data.train.x.shape[1]
    layers = functools.partial(_perceptron, width, 8 if small else 32)
    return recast(
        Rows(seed=seed, task="regress", data=data, batch=8 if small else 32, steps=steps, new_student=layers,
             player=Player(functools.partial(torch.optim.Adam, lr=1e-2), cosine(steps))),
        **changes,
    )  # fmt: skip


def _perceptron(inputs: int, width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, 1))
