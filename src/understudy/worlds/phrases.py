"""Five questions about short phrases of a made language: a teacher that read thousands, a student that sees 120.

A phrase comes as one row of 0 and 1 a word, so a sum of two phrases is the sum of their embeddings, and a word can be left out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from understudy.core import seal
from understudy.core.errors import Sealed, refuse
from understudy.core.seeds import stream
from understudy.core.world import Player, recast
from understudy.models.tiny import TransformerBlock
from understudy.parts.schedule import cosine
from understudy.worlds.rows import Rows, trained

WORDS, LONG = 32, 12  # four groups of eight words: good, bad, grammar, names; the first two of the third mean "not"


def _mood(ids: Tensor) -> Tensor:
    """1 for a good word, -1 for a bad one."""
    return (ids < 8).long() - ((ids >= 8) & (ids < 16)).long()


def _negated(ids: Tensor) -> Tensor:
    before = nn.functional.pad(ids, (1, -1), value=31)
    return (_mood(ids) * torch.where((before == 16) | (before == 17), -1, 1)).sum(1)


def _first(ids: Tensor, group: int) -> Tensor:
    found = ids // 8 == group
    return torch.where(found.any(1), found.long().argmax(1), LONG)


KINDS: dict[str, tuple[int, Callable[[Tensor], Tensor]]] = {  # classes, and the label of phrases [N, LONG]
    "mood": (2, lambda ids: (_mood(ids).sum(1) > 0).long()),
    "negation": (2, lambda ids: (_negated(ids) > 0).long()),
    "topic": (4, lambda ids: torch.stack([(ids // 8 == g).sum(1) for g in range(4)], 1).argmax(1)),
    "order": (2, lambda ids: (_first(ids, 0) < _first(ids, 1)).long()),
    "halves": (4, lambda ids: 2 * (_mood(ids[:, :6]).sum(1) > 0).long() + (_mood(ids[:, 6:]).sum(1) > 0).long()),
}


class Reader(nn.Module):
    """A transformer over words; [N, LONG, WORDS] -> [N, classes]"""

    def __init__(self, width: int, depth: int, classes: int) -> None:
        super().__init__()
        self.embedding, self.position = nn.Linear(WORDS, width, bias=False), nn.Parameter(0.1 * torch.randn(1, LONG, width))
        self.blocks = nn.ModuleList(TransformerBlock(width, 2) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embedding(x) + self.position
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.head(self.norm(x).mean(1))
        return out


@dataclass(frozen=True)
class Part:
    x: Tensor
    y: Tensor


class Splits:
    """train, valid, test; the teacher learns from `pool`, of which `train` is the beginning."""

    def __init__(self, kind: str, seed: int, small: bool, dtype: torch.dtype) -> None:
        with stream(seed, "phrases"):
            ids = torch.randint(WORDS, (5000, LONG))
        part = lambda a, b: Part(nn.functional.one_hot(ids[a:b], WORDS).to(dtype), KINDS[kind][1](ids[a:b]))
        self.pool, self.train, self.small = part(0, 3000), part(0, 64 if small else 120), small
        self.valid, self._test = part(3000, 3064) if small else part(3000, 4000), part(4000, 5000)

    @property
    def test(self) -> Part:
        seal.check("the test split of phrases")
        if self.small:
            raise Sealed("the test split of a small world was read")
        return self._test


def _adam(lr: float, steps: int) -> Player:
    return Player(functools.partial(torch.optim.AdamW, lr=lr, weight_decay=0.01), cosine(steps, steps // 10), clip=1.0)


def phrases(seed: int = 0, *, ready: bool = False, small: bool = False, kind: str = "mood", **changes: object) -> Rows:
    """The world; `ready` trains the teacher. kind: the question, of `KINDS`."""
    if kind not in KINDS:
        raise refuse("phrases.kind", kind, f"one of {', '.join(KINDS)}")
    classes, batch, steps = KINDS[kind][0], 8 if small else 16, 24 if small else 120
    pupil, master = ((8, 2), (12, 3)) if small else ((12, 2), (32, 4))
    data = Splits(kind, seed, small, torch.get_default_dtype())
    world = Rows(seed=seed, data=data, batch=batch, steps=steps, player=_adam(5e-3, steps),
                 new_student=lambda: Reader(*pupil, classes))  # fmt: skip
    with stream(seed, "teacher"):
        world.given_teacher = Reader(*master, classes)
    if ready:
        world.given_teacher = _teacher(seed, small, kind, torch.get_default_dtype())
    return recast(world, **changes)


@functools.lru_cache(maxsize=8)
def _teacher(seed: int, small: bool, kind: str, _dtype: torch.dtype) -> nn.Module:
    world, steps = phrases(seed, small=small, kind=kind), 8 if small else 400
    pool = Splits(kind, seed, small, torch.get_default_dtype())
    pool.train = pool.pool
    assert world.given_teacher is not None
    return trained(world, world.given_teacher, steps, seed, data=pool, batch=64, player=_adam(3e-3, steps))
