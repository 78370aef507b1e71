"""Tagged sentences of one language, untagged ones of another: what a tagger has learned at home is to hold abroad."""

from __future__ import annotations

import copy
import functools
import random
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from understudy.core import seal
from understudy.core.batch import Batch
from understudy.core.errors import Sealed
from understudy.core.seeds import key, stream
from understudy.core.world import Player, recast
from understudy.parts.schedule import cosine
from understudy.worlds.encoders import _sentence
from understudy.worlds.rows import Rows, order, trained

WIDTH, APART, NOISE = 24, 0.5, 0.4  # of a word's vector; how much of it goes another way abroad; what is each language's own
SIZES = {"home": 600, "train": 600, "valid": 200, "_test": 400}


@dataclass(frozen=True)
class Part:
    """x [N, L, WIDTH], zeros where a sentence has ended; y [N, L], -1 there."""

    x: Tensor
    y: Tensor


class Sentences:
    """`home` in the source language, the three splits in the target language; the test split is sealed while anything learns."""

    def __init__(self, few: bool, dtype: torch.dtype) -> None:
        chance = random.Random(key("abroad", "language"))
        sizes = dict.fromkeys(SIZES, 24) if few else SIZES
        said = {k: [_sentence(chance) if k == "home" else foreign(_sentence(chance)) for _ in range(n)] for k, n in sizes.items()}
        every = [word for sentences in said.values() for s in sentences for word in s]
        words, tags = (sorted({word[i] for word in every}) for i in (0, 1))
        longest = max(len(s) for sentences in said.values() for s in sentences)
        with stream("abroad", "vectors"):
            here, way = torch.randn(len(words), WIDTH), torch.linalg.qr(torch.randn(WIDTH, WIDTH)).Q
            there = (1 - APART) * here + APART * here @ way + NOISE * torch.randn(len(words), WIDTH)
        parts = {}
        for name, sentences in said.items():
            x, y = torch.zeros(len(sentences), longest, WIDTH), torch.full((len(sentences), longest), -1)
            for i, s in enumerate(sentences):
                x[i, : len(s)] = (here if name == "home" else there)[[words.index(w) for w, _ in s]]
                y[i, : len(s)] = torch.tensor([tags.index(t) for _, t in s])
            parts[name] = Part(x.to(dtype), y)
        self.home, self.train, self.valid, self._test = parts["home"], parts["train"], parts["valid"], parts["_test"]
        self.tags, self._few = tags, few

    @property
    def test(self) -> Part:
        seal.check("the test split of abroad")
        if self._few:
            raise Sealed("the test split of a small world was read")
        return self._test


def foreign(said: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """In the order of the other language: an adjective comes behind its noun."""
    said = list(said)
    for i in reversed(range(len(said) - 1)):
        if said[i][1].startswith("adj."):
            said[i], said[i + 1] = said[i + 1], said[i]
    return said


class Tagger(nn.Module):
    """Two convolutions along the sentence; [N, L, WIDTH] -> [N, L, tags]"""

    def __init__(self, width: int, tags: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(WIDTH, width, 5, padding=2), nn.Conv1d(width, width, 5, padding=2)
        self.head = nn.Linear(width, tags)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(F.relu(self.second(F.relu(self.first(x.mT)))).mT)
        return out


@dataclass
class Abroad(Rows):
    """`rows(step)` are sentences of the target language, their tags hidden; `rows(step, 'source')` tagged ones of the source
    language. `mask` [N, L] is where words are. Scored by the mean F1 over tags, in the target language."""

    def rows(self, step: int, split: str = "train") -> Batch:
        if split not in ("train", "source"):
            return super().rows(step, split)
        part = self.data.home if split == "source" else self.data.train
        first, n = (step * self.ranks + self.rank) * self.batch, len(part.y)
        pick = torch.stack([order(n, self.seed, i // n, split)[i % n] for i in range(first, first + self.batch)])
        y = part.y[pick]
        return Batch(x=part.x[pick], y=y if split == "source" else torch.full_like(y, -1), mask=y >= 0, row=pick)

    def validate(self, artefact: Any) -> float:
        return self.measure(artefact, self.data.valid)["f1"]

    def score(self, artefact: Any) -> float:
        return self.measure(artefact, self.data.test)["f1"]


def abroad(seed: int = 0, *, ready: bool = False, small: bool = False, **changes: Any) -> Abroad:
    """The world. Sentences are those of `encoders`' small language, tagged with role and number. The target language says the same
    with other word vectors, half of each turned by one unknown rotation, with noise of their own, and puts adjectives behind nouns.
    Word vectors stand for what a multilingual network knows: languages share a space, but not quite.

    600 sentences of each are there for training, those of the target language without tags; 200 and 400 for validation and test.
    ready: the teacher, four times as wide as the student, has learned the source language's tags.
    """
    data = _data(small, torch.get_default_dtype())
    tags = len(data.tags)
    world = Abroad(
        seed=seed, task="tag", data=data, batch=32, steps=300, new_student=lambda: Tagger(16, tags),
        player=Player(functools.partial(torch.optim.Adam, lr=3e-3)),
    )  # fmt: skip
    world.metric = "f1"
    with stream(seed, "teacher"):
        world.given_teacher = Tagger(16 if small else 64, tags)
    if ready and not small:
        world.given_teacher = copy.deepcopy(_teacher(seed, torch.get_default_dtype()))
    if small:
        world = recast(world, batch=8, steps=24, new_student=lambda: Tagger(8, tags))
    vars(world).update(changes)
    return world


@functools.cache
def _data(small: bool, dtype: torch.dtype) -> Sentences:
    return Sentences(small, dtype)


@functools.cache
def _teacher(seed: int, _dtype: torch.dtype, steps: int = 200) -> nn.Module:
    world = abroad(seed)
    assert world.given_teacher is not None
    how = Player(functools.partial(torch.optim.Adam, lr=3e-3), cosine(steps))
    return trained(
        recast(world, rows=lambda step, split="train": world.rows(step, "source")), world.given_teacher, steps, seed, player=how
    )
