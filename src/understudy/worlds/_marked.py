"""Texts of which more is known than their words: of each training row a mark or several, such as the kind of text that it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from understudy.core.batch import Batch, each
from understudy.core.seeds import key
from understudy.core.world import Player
from understudy.parts.schedule import cosine
from understudy.worlds.rows import Rows, trained
from understudy.worlds.texts import Part, Texts, adamw


@dataclass
class Marked(Texts):
    """marks: {name: [size, ...]}, of the training rows; a batch of those has them under that name."""

    marks: dict[str, Tensor] = field(default_factory=dict)

    def rows(self, step: int, split: str = "train") -> Batch:
        batch = super().rows(step, split)
        return self._marked(batch) if split == "train" else batch

    def sweep(self) -> Iterator[Batch]:
        return map(self._marked, super().sweep())

    def pick(self, rows: Tensor) -> Batch:
        """These training rows, by their number; [N] -> a batch of N"""
        row, train = rows.cpu(), self.data.train
        return self._marked(Batch(x=each(train.x, lambda t: t[row]), y=train.y[row], row=row))

    def _marked(self, batch: Batch) -> Batch:
        return Batch({**batch, **{name: mark[batch.row] for name, mark in self.marks.items()}})


def cut(part: Part, rows: slice | Tensor) -> Part:
    """Some rows of a part, without prompts."""
    return Part({k: v[rows] for k, v in part.x.items()}, part.y[rows])


def several(tokens: list[Tensor], length: int, rows: Sequence[int]) -> Tensor:
    """The first windows of `length` + 1 tokens of each text, so many of each, one text behind the other; -> [sum(rows) * (length + 1)]

    Raises ValueError where a text is too short for them.
    """
    short = [i for i, (t, n) in enumerate(zip(tokens, rows, strict=True)) if len(t) < n * (length + 1)]
    if short:
        raise ValueError(f"texts {short} are too short for {rows} windows of {length + 1} tokens")
    return torch.cat([t[: n * (length + 1)] for t, n in zip(tokens, rows, strict=True)])


def read(world: Rows, net: nn.Module, steps: int, lr: float, *chance: int | str) -> nn.Module:
    """A copy of a language model that has read so many times 32 of the world's rows; `chance` is what their order hangs on."""
    return trained(world, net, steps, key(*chance), batch=32, player=Player(adamw(lr), cosine(steps, steps // 10), clip=1.0))
