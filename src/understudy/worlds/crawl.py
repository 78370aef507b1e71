"""A crawl to learn a language model from: prose and code, and what comes along: noise, and the same menus again and again.

Scored on clean prose and code that nothing has read. The teacher is large and has read much of the crawl, as it lies; the reference is small
and has read a quarter of it; the student begins at random and has tokens for as many rows as there are.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core.seeds import stream
from understudy.core.world import Player, recast
from understudy.data.code import library, train_tokenizer
from understudy.data.kinds import menus, noise, prose_and_code
from understudy.parts.schedule import cosine
from understudy.worlds._marked import Marked, cut, read, several
from understudy.worlds.texts import Corpus, Shape, adamw, llama

NAMES, ROWS = ("prose", "code", "noise", "menus"), (700, 1000, 600, 500)
SIZE, WORDS, PART = 1_400_000, 512, 700  # bytes of the library; of the tokenizer; rows that the reference has read
SHAPES: tuple[Shape, Shape, Shape] = (32, 1, 2), (64, 2, 4), (16, 1, 2)  # student, teacher, reference
TINY: tuple[Shape, Shape, Shape] = (8, 1, 2), (16, 1, 2), (4, 1, 2)


@dataclass
class Crawl(Marked):
    """Marks: `kind` [N] of a row, a number, which no method is to look at: it is for pictures."""

    given_reference: Callable[[], nn.Module] | None = None

    def reference(self) -> nn.Module:
        """A language model that is smaller than the student and has read a little of the crawl."""
        assert self.given_reference is not None
        return self.given_reference()


@functools.cache
def _tokens(size: int, words: int) -> tuple[dict[str, list[Tensor]], Any]:
    """The tokens of every kind for training, of prose and code for the other splits; and their tokenizer."""
    files = [prose_and_code(text) for text in library(size)]
    train, valid, test = (
        files[: len(files) * 8 // 10],
        files[len(files) * 8 // 10 : len(files) * 9 // 10],
        files[len(files) * 9 // 10 :],
    )
    clean = {k: ["\n".join(kind)[: size // (10 if k == "train" else 60)] for kind in zip(*v, strict=True)]
             for k, v in {"train": train, "valid": valid, "test": test}.items()}  # fmt: skip
    texts = clean | {"train": [*clean["train"], noise(size // 20, "train"), menus(size // 60, "train")]}
    tokenizer = train_tokenizer(texts["train"], words)
    return {k: [torch.tensor(tokenizer(t).input_ids) for t in v] for k, v in texts.items()}, tokenizer


def crawl(seed: int = 0, *, ready: bool = False, small: bool = False, **changes: Any) -> Crawl:
    """The world; `ready` trains its teacher and its reference (once a process and seed)."""
    size, words, length, held = (150_000, 280, 12, 8) if small else (SIZE, WORDS, 48, 60)
    batch, steps, rows = (8, 24, (16, 16, 16, 16)) if small else (16, 175, ROWS)
    tokens, _ = _tokens(size, words)
    data = Corpus(
        {k: several(v, length, rows if k == "train" else (held, held)) for k, v in tokens.items()}, length, 4, shut=small
    )
    pupil, master, least = TINY if small else SHAPES
    world = Crawl(seed=seed, data=data, batch=batch, steps=steps, stop=1, new_student=functools.partial(llama, words, pupil),
                  marks={"kind": torch.arange(len(NAMES)).repeat_interleave(torch.tensor(rows))},
                  player=Player(adamw(4e-3), cosine(steps, steps // 10), clip=1.0))  # fmt: skip
    world.metric = "log-likelihood of a token of clean text (nats)"
    if ready and not small:
        reference, world.given_teacher = _schooled(seed, torch.get_default_dtype())
    else:
        with stream(seed, "teacher"):
            world.given_teacher, reference = llama(words, master), llama(words, least)
    world.given_reference = functools.partial(copy.deepcopy, reference)
    return recast(world, **changes)


@functools.cache
def _schooled(seed: int, _dtype: torch.dtype) -> tuple[nn.Module, nn.Module]:
    """The reference, which has read some rows of the crawl; and the teacher, which has read all of them several times."""
    world = crawl(seed)
    assert world.given_teacher is not None
    part = recast(world, data=copy.copy(world.data), marks={}, size=PART)
    with stream(seed, "part"):
        part.data.train = cut(world.data.train, torch.randperm(world.size)[:PART])
    reference = read(part, world.reference(), 150, 1e-2, "crawl", seed)
    return reference, read(world, world.given_teacher, 300, 4e-3, "crawl", seed)
