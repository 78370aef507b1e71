"""General text first, then a task: sentences without labels in the first half of the budget, tagged ones in the second.

The teacher has read much text with masked words, and was then tuned to tag; it remembers what it was before (`teachers.Tuned`).
The language is that of `encoders`; the task's sentences are harder than most: each has a clause between subject and verb.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from understudy.core.batch import Batch, each
from understudy.core.seeds import stream
from understudy.core.world import Player
from understudy.parts.schedule import cosine
from understudy.teachers.tuned import Tuned
from understudy.worlds.encoders import Corpus, Encoder, Part, corpus
from understudy.worlds.rows import Rows, order, trained

TAGGED, REAL = 60, 600  # sentences of the task that come with tags: of the small language, and of real ones


class Lessons:
    """`train`: the task's sentences, then the general ones, without tags; `words`: masked words for the teacher."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus, few, said = corpus, corpus.few, corpus.train
        ids = torch.where(said.y >= 0, said.y, said.x["input_ids"])  # nothing is hidden
        general = {"input_ids": ids, "attention_mask": said.x["attention_mask"]}
        self.tagged, self.valid = len(few.y), corpus.check
        self.train = Part(
            {k: torch.cat([few.x[k], general[k]]) for k in general}, torch.cat([few.y, torch.full_like(said.y, -1)])
        )

    @property
    def test(self) -> Part:
        return self.corpus.test


class _Only:
    """One part in place of what the student reads."""

    def __init__(self, train: Part, valid: Part) -> None:
        self.train, self.valid = train, valid


@dataclass
class Taggers(Rows):
    """Two phases of equal length: 0, general text whose tags are hidden, and 1, the task. Scored by the student's own tags."""

    def phase(self, step: int) -> int:
        return min(2 * step // max(self.steps, 1), 1)

    def rows(self, step: int, split: str = "train") -> Batch:
        if split != "train":
            return super().rows(step, split)
        phase, part, tagged = self.phase(step), self.data.train, self.data.tagged
        first, count = (0, tagged) if phase else (tagged, self.size - tagged)
        at = [(step * self.ranks + self.rank) * self.batch + i for i in range(self.batch)]
        pick = first + torch.stack([order(count, self.seed, i // count, f"phase {phase}")[i % count] for i in at])
        return Batch(x=each(part.x, lambda t: t[pick]), y=part.y[pick], row=pick)


def _corpus(small: bool, path: Path | None) -> Corpus:
    return corpus(small, path, TAGGED if path is None else REAL, True)


def _adam(lr: float, steps: int) -> Player:
    """A rise and a fall of the rate in so many steps, and again."""
    fall = cosine(steps, steps // 10)
    return Player(functools.partial(torch.optim.AdamW, lr=lr, weight_decay=0.01), lambda step: fall(step % steps), clip=1.0)


def taggers(
    seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any
) -> Taggers:
    """The world; `ready` pretrains and tunes the teacher (some seconds, once a process and seed). path: real sentences with tags, or
    with a label each (see `encoders`)."""
    data = Lessons(_corpus(small, None if path is None else Path(path)))
    words, length, tags = data.corpus.size, data.train.y.shape[1], len(data.corpus.tags)
    width, depth, batch, steps = (16, 1, 8, 24) if small else (24, 2, 32, 300)
    world = Taggers(
        seed=seed, task="tag", data=data, batch=batch, steps=steps, player=_adam(3e-3, steps // 2),
        new_student=lambda: _tagger(Encoder(words, length, width, depth), tags),
    )  # fmt: skip
    world.metric = "accuracy" if path is None else "f1"
    world.given_teacher = _teacher(seed, small, ready, None if path is None else Path(path), torch.get_default_dtype())
    vars(world).update(changes)
    return world


def _tagger(net: Encoder, tags: int) -> Encoder:
    net.head = nn.Linear(net.head.in_features, tags)
    return net


@functools.cache
def _teacher(seed: int, small: bool, ready: bool, path: Path | None, _dtype: torch.dtype) -> nn.Module:
    """Pretrained on words, then tuned on the task's tags; neither, unless ready."""
    data = _corpus(small, path)
    size = (data.size, data.train.y.shape[1], *((32, 2) if small else (64, 4)))
    with stream(seed, "teacher"):
        pretrained, tuned = Encoder(*size), _tagger(Encoder(*size), len(data.tags))
    if not ready:
        return Tuned(tuned, pretrained)
    text = Part(data.pool.x, data.pool.y.masked_fill(data.pool.y >= data.size, -1))  # words alone
    made = _learned(pretrained, _Only(text, data.valid), 24 if small else 500, seed)
    tuned.bert.load_state_dict(made.bert.state_dict())
    return Tuned(_learned(tuned, _Only(data.few, data.check), 24 if small else 150, seed), made)


def _learned(net: Encoder, data: _Only, steps: int, seed: int) -> Encoder:
    made = trained(Rows(seed=seed, task="tag", data=data), net, steps, seed, player=_adam(2e-3, steps))
    assert isinstance(made, Encoder)
    return made
