"""A trade's own words, which a general network only has in pieces: `oldwalks` is read as `old walks`.

The teacher was pretrained on the language of `encoders`, with masked words alone. In the trade's sentences most nouns and verbs are
compounds of two words, and only their place in a sentence tells which is which. Its tokeniser knows three compounds of four as one
token; the others stay in pieces. What a network has learned is asked as in `encoders`: tags, read off its last hidden states.
"""

from __future__ import annotations

import copy
import functools
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core import seal
from understudy.core.batch import Batch, Views, each
from understudy.core.errors import Sealed
from understudy.core.seeds import key, stream
from understudy.core.world import Player, recast
from understudy.parts.masking import hide
from understudy.parts.schedule import cosine
from understudy.worlds.encoders import ADJECTIVES, MASK, OTHER, PAD, SAME, STEMS, Encoder, Encoders, Part, Sentences, _sentence
from understudy.worlds.rows import Rows, trained

KINDS = 16  # of compounds, nouns and verbs each
TRADE = 0.8  # of the nouns and verbs of a sentence
SIZES = {"few": 40, "train": 1500, "valid": 300, "test": 600}
SMALL = {"few": 16, "train": 64, "valid": 16, "test": 8}
GENERAL = {False: 6000, True: 64}  # sentences that the teacher reads


@dataclass(frozen=True)
class Text:
    """x: what student and teacher read; y [N, L]: the student's own tokens, -1 where none is; words [N, L]: the number of the word
    that a token is of, for either."""

    x: Views
    y: Tensor
    words: Views


def _compounds(chance: random.Random) -> dict[str, list[tuple[str, str]]]:
    """Pairs of words that make a noun or a verb; either's last word bears the number."""
    pairs = chance.sample(list(itertools.product([*ADJECTIVES, *SAME], STEMS)), 2 * KINDS)
    return {"noun": pairs[:KINDS], "verb": pairs[KINDS:]}


def _trade(chance: random.Random, kinds: dict[str, list[tuple[str, str]]]) -> list[tuple[tuple[str, ...], str]]:
    """A sentence of the language as (pieces of a word, tag), with the trade's words in it."""
    said: list[tuple[tuple[str, ...], str]] = []
    for word, tag in _sentence(chance):
        role, _, number = tag.partition(".")
        kind = "verb" if role == "verb" else "noun" if role in ("subj", "obj") else ""
        if kind and chance.random() < TRADE:
            first, last = chance.choice(kinds[kind])
            said.append(((first, last + ("s" if (number == "pl") == (kind == "noun") else "")), tag))
        else:
            said.append(((word,), tag))
    return said


class Trade:
    """`train`: sentences in both tokenisations; `few` and `check`: the student's, with a tag on the last token of each word, as `test`;
    `general`: the teacher's text. Compounds that are one token are numbered from `old` on."""

    def __init__(self, small: bool) -> None:
        chance, sizes = random.Random(key("jargon", "language")), SMALL if small else SIZES
        general: Sentences = [_sentence(chance) for _ in range(GENERAL[small])]
        self.longest = max(map(len, general))
        kinds = _compounds(chance)
        known = [pair for pairs in kinds.values() for pair in pairs[: KINDS * 3 // 4]]
        old = sorted({w for s in general for w, _ in s})
        self.words = ["", "[mask]", "[other]", *old, *("+".join(p) + s for p in known for s in ("", "s"))]
        self.old, self._number = OTHER + 1 + len(old), {w: i for i, w in enumerate(self.words)}
        fits = (s for s in iter(lambda: _trade(chance, kinds), None) if sum(len(w) for w, _ in s) <= self.longest)
        said = list(itertools.islice(fits, sum(sizes.values())))
        self.tags = sorted({tag for s in said for _, tag in s})
        self.general = self._ids([[self._number[w] for w, _ in s] for s in general])
        part = dict(zip(sizes, torch.arange(len(said)).split(list(sizes.values()))))
        own, its = ([[self._tokens(w, whole) for w, _ in s] for s in said] for whole in (True, False))
        ids = [self._ids([[t for word in s for t in word] for s in side]) for side in (own, its)]
        words = [self._ids([[i for i, word in enumerate(s) for _ in word] for s in side], -1) for side in (own, its)]
        tags = self._ids([[t for word, (_, tag) in zip(s, told) for t in [-1] * (len(word) - 1) + [self.tags.index(tag)]]
                          for s, told in zip(own, said)], -1)  # fmt: skip
        part_of = lambda name: Text(
            Views(student=_input(ids[0][part[name]]), teacher=_input(ids[1][part[name]])),
            ids[0][part[name]].masked_fill(ids[0][part[name]] <= OTHER, -1),
            Views(student=words[0][part[name]], teacher=words[1][part[name]]),
        )
        self.train, self.valid = part_of("train"), part_of("valid")
        self.few, self.check, self._test = (Part(_input(ids[0][part[k]]), tags[part[k]]) for k in ("few", "valid", "test"))
        self._sealed = small

    @property
    def test(self) -> Part:
        seal.check("the test split of jargon")
        if self._sealed:
            raise Sealed("the test split of a small world was read")
        return self._test

    def _tokens(self, word: tuple[str, ...], whole: bool) -> list[int]:
        one = "+".join(word)
        return [self._number[one]] if whole and one in self._number else [self._number[piece] for piece in word]

    def _ids(self, rows: list[list[int]], fill: int = PAD) -> Tensor:
        return torch.tensor([row + [fill] * (self.longest - len(row)) for row in rows])


def _input(ids: Tensor) -> dict[str, Tensor]:
    return {"input_ids": ids, "attention_mask": (ids != PAD).long()}


class Tied(Encoder):
    """A BERT whose head is its word embeddings; {input_ids, attention_mask} [N, L] -> [N, L, words]"""

    def __init__(self, words: int, length: int, width: int, depth: int) -> None:
        super().__init__(words, length, width, depth)
        self.head.weight = self.bert.embeddings.word_embeddings.weight
        nn.init.zeros_(self.head.bias)


@dataclass
class Jargon(Encoders):
    """Rows are whole sentences of the trade, nothing hidden: x for either tokeniser, y [N, L] the student's tokens, and `words`."""

    def rows(self, step: int, split: str = "train") -> Batch:
        return self._told(super().rows(step, split), self.data.train if split == "train" else self.data.valid)

    def sweep(self) -> Iterator[Batch]:
        for rows in super().sweep():
            yield self._told(rows, self.data.train)

    @staticmethod
    def _told(rows: Batch, part: Text) -> Batch:
        return Batch({**rows, "words": each(part.words, lambda t: t[rows.row])})


@functools.cache
def _data(small: bool) -> Trade:
    return Trade(small)


def jargon(seed: int = 0, *, ready: bool = False, small: bool = False, **changes: Any) -> Jargon:
    """The world; `ready` pretrains the teacher (some seconds, once a process and seed)."""
    data, (width, depth, batch, steps) = _data(small), (16, 1, 8, 24) if small else (64, 2, 32, 200)
    world = Jargon(
        seed=seed, task="tag", data=data, batch=batch, steps=steps, player=_adam(2e-3, steps),
        new_student=lambda: Tied(len(data.words), data.longest, width, depth),
    )  # fmt: skip
    world.given_teacher = _teacher(seed, small, ready, width, depth, torch.get_default_dtype())
    vars(world).update(changes)
    return world


def _adam(lr: float, steps: int) -> Player:
    return Player(functools.partial(torch.optim.AdamW, lr=lr, weight_decay=0.01), cosine(steps, steps // 10), clip=1.0)


@functools.cache
def _teacher(seed: int, small: bool, ready: bool, width: int, depth: int, _dtype: torch.dtype) -> nn.Module:
    """As BERT is pretrained: 15 % of the words, masked anew at every visit, a fifth of them not by the mask."""
    data, steps = _data(small), 24 if small else 600
    with stream(seed, "teacher"):
        teacher = Tied(data.old, data.longest, width, depth)
    if not ready:
        return teacher
    text = copy.copy(data)
    text.train = Part(_input(data.general), data.general)  # type: ignore[assignment]
    world = Rows(seed=seed, task="tag", data=text, batch=32)

    def rows(step: int, split: str = "train") -> Batch:
        seen = world.rows(step, split)
        with stream(seed, step, "mask"):
            read, y = hide(seen.y, seen.y > OTHER, 0.15, MASK, data.old)
        return Batch(x=_input(seen.y) | {"input_ids": read}, y=y, row=seen.row)

    return trained(recast(world, rows=rows), teacher, steps, seed, player=_adam(2e-3, steps))
