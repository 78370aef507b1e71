"""Sums of four digits, written letter by letter: `3+4+9+7=23.` A rule can mark every answer.

A small GPT-2 has seen some solved sums and gets a third of them right; a teacher of four times its size has seen
enough of them. 1,000 of the 10,000 sums are kept for validation and 1,000 for the score.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core import seal
from understudy.core.batch import Batch
from understudy.core.errors import Sealed, refuse
from understudy.core.seeds import stream
from understudy.core.world import Optimiser, Player, World, recast
from understudy.models.causal import Causal
from understudy.parts.schedule import cosine
from understudy.tasks import task
from understudy.worlds.rows import trained

PLUS, IS, STOP = 10, 11, 12  # after the digits


def _lines(n: Tensor, terms: int) -> Tensor:
    """The sums numbered n, solved: their digits are what is added; [N] -> [N, 2 terms + 3]"""
    digits = torch.stack([n // 10**k % 10 for k in range(terms)], -1)
    signs = torch.tensor([PLUS] * (terms - 1) + [IS]).expand_as(digits)
    return torch.cat([torch.stack([digits, signs], -1).flatten(1), _answers(digits.sum(-1))], -1)


def _answers(total: Tensor) -> Tensor:
    """Two digits and a full stop; [N] -> [N, 3]"""
    return torch.stack([total // 10, total % 10, torch.full_like(total, STOP)], -1)


@functools.lru_cache(maxsize=16)
def _order(n: int, *key: int | str) -> Tensor:
    with stream(*key):
        return torch.randperm(n)


@dataclass
class Sums(World):
    """x [N, L-1] solved sums, y [N, L-1] their next letters (-1 in the question), prompt [N, P] the questions alone.

    terms: numbers in a sum. shut: the test split is sealed for good.
    """

    terms: int = 4
    shut: bool = False
    new_student: Callable[[], nn.Module] = field(default=nn.Identity)
    given_teacher: nn.Module | None = None
    task: str = "lm"
    held: tuple[int, int] = (1000, 1000)  # sums for validation and for the score
    splits: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 2 <= self.terms <= 5:
            raise refuse("sums.terms", self.terms, "a whole number in [2, 5]")
        lines = _lines(_order(10**self.terms, "sums"), self.terms)
        test, valid = self.held
        self.splits = {"test": lines[:test], "valid": lines[test : test + valid], "train": lines[test + valid :]}
        self.size, self.metric, self.share = len(self.splits["train"]), "exact match", True

    @property
    def ask(self) -> int:
        """Letters of a question."""
        return 2 * self.terms

    def student(self) -> nn.Module:
        return self.new_student()

    def teacher(self) -> nn.Module | None:
        return self.given_teacher

    def rows(self, step: int, split: str = "train") -> Batch:
        if split not in ("train", "valid"):
            raise refuse("split", split, "'train' or 'valid'", "the test split is for the score")
        lines, first = self.splits[split], (step * self.ranks + self.rank) * self.batch
        n = len(lines)
        pick = torch.stack([_order(n, self.seed, i // n, split)[i % n] for i in range(first, first + self.batch)])
        return self._batch(lines[pick], pick)

    def sweep(self) -> Iterator[Batch]:
        for pick in torch.arange(self.size).split(256):
            yield self._batch(self.splits["train"][pick], pick)

    def _batch(self, lines: Tensor, row: Tensor) -> Batch:
        y = lines[:, 1:].clone()
        y[:, : self.ask - 1] = -1
        return Batch(x=lines[:, :-1], y=y, prompt=lines[:, : self.ask], row=row)

    def hard(self, out: Tensor, batch: Batch) -> Tensor:
        return task(self.task).hard(out, batch.y)

    def soft(self, out: Tensor, target: Tensor, t: float) -> Tensor:
        return task(self.task).soft(out, target, t)

    @torch.no_grad()
    def play(self, actor: nn.Module, x: Tensor, greedy: bool = False) -> Batch:
        """What the actor answers to questions [N, P]: tokens [N, L] with the questions, mask [N, L-1] of the letters after the
        first that it wrote (the full stop included), reward [N] 1 where the answer is right to the full stop, else 0."""
        tokens: Tensor = actor.write(x, 3, greedy)  # type: ignore[operator]
        said = tokens[:, self.ask :]
        stops = (said == STOP).long()
        right = _answers(x[:, ::2].sum(-1))
        dtype = torch.get_default_dtype()
        mask = nn.functional.pad((stops.cumsum(-1) - stops == 0).to(dtype), (self.ask - 1, 0))
        return Batch(tokens=tokens, mask=mask, reward=(said == right).all(-1).to(dtype))

    def validate(self, artefact: nn.Module | Batch) -> float:
        return self._exact(artefact, "valid")

    def score(self, artefact: nn.Module | Batch) -> float:
        seal.check("the test split of sums")
        if self.shut:
            raise Sealed("the test split of a small world was read")
        return self._exact(artefact, "test")

    def _exact(self, made: nn.Module | Batch, split: str) -> float:
        """Of the sums of a split, those that are answered right when the likeliest letter is written."""
        if not isinstance(made, nn.Module):
            raise refuse("artefact", type(made).__name__, "a language model")
        device = next(made.parameters()).device
        asks = self.splits[split][:, : self.ask].to(device)
        return torch.cat([self.play(made, x, greedy=True).reward for x in asks.split(512)]).double().mean().item()


def sums(seed: int = 0, *, ready: bool = False, small: bool = False, terms: int = 4, **changes: Any) -> Sums:
    """The world; `ready` trains its teacher and its student's start (12 seconds, once a process and seed)."""
    how = {"terms": 2, "held": (20, 20), "batch": 8, "steps": 24} if small else {"terms": terms, "batch": 16, "steps": 150}
    world = Sums(seed=seed, shut=small, player=Player(_adam(1.5e-3), cosine(150), clip=1.0), **how)
    pupil, master = [
        functools.partial(Causal, STOP + 1, 2 * world.terms + 3, STOP, *shape) for shape in (TINY if small else SIZES)
    ]
    with stream(seed, "teacher"):
        world.new_student, world.given_teacher = pupil, master()
    if ready and not small:
        start, world.given_teacher = _schooled(seed, terms, torch.get_default_dtype())
        world.new_student = functools.partial(copy.deepcopy, start)
    return recast(world, **changes)


SIZES, TINY = ((32, 2, 4), (64, 2, 4)), ((8, 1, 2), (16, 1, 2))  # student and teacher: width, layers, heads


def _adam(lr: float) -> Optimiser:
    return functools.partial(torch.optim.AdamW, lr=lr, weight_decay=0.0)


@functools.cache
def _schooled(seed: int, terms: int, _dtype: torch.dtype) -> tuple[nn.Module, nn.Module]:
    """Where the student starts, and the teacher: both have seen solved sums."""
    world = sums(seed, terms=terms, batch=64)
    assert world.given_teacher is not None
    school = lambda net, steps: trained(world, net, steps, seed, player=Player(_adam(4e-3), cosine(500, 20)))
    with stream(seed, "student"):
        return school(world.student(), 150), school(world.given_teacher, 500)
