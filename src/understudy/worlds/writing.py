"""Texts that are to be written on: as many words after a prompt as it has, scored by what the student itself writes there.

The models of `texts`; the student has read for a while before it is taught, as the papers' students were fine-tuned first. The score is minus the
divergence KL(student || teacher) of a word, along what the student writes after prompts of files that neither has read: 0 is a student that
writes as its teacher does. The teacher's log-likelihood of the writing alone would be highest for one likely word said over and over.
"""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from understudy.core.batch import Batch, rows_in
from understudy.core.errors import refuse
from understudy.core.method import freeze
from understudy.core.seeds import key, stream
from understudy.core.world import Player, recast
from understudy.models.lm import evaluating
from understudy.parts.divergence import reverse_kl
from understudy.parts.schedule import cosine
from understudy.worlds.rows import trained
from understudy.worlds.texts import Corpus, Part, Texts, adamw, texts


@dataclass
class Writing(Texts):
    """Rows that begin with a prompt and are asked for after it. judged: rows of a split that a student is scored on, the first so many."""

    judged: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        self.metric = "-KL(student || teacher) of a word that it writes (nats)"

    def validate(self, artefact: nn.Module | Batch) -> float:
        return self.likeness(artefact, self.data.valid)

    def score(self, artefact: nn.Module | Batch) -> float:
        return self.likeness(artefact, self.data.test)

    @torch.no_grad()
    def likeness(self, made: nn.Module | Batch, split: Part) -> float:
        """-KL(student || teacher), exact at each word of one text drawn after each prompt, the same chance for everybody; mean over words."""
        if not isinstance(made, nn.Module):
            raise refuse("artefact", type(made).__name__, "a language model")
        assert self.given_teacher is not None and split.prompt is not None
        device = next(made.parameters()).device
        judge = freeze(self.given_teacher).to(device)
        apart, words = 0.0, 0
        with evaluating(made), stream(self.seed, "likeness"):
            for i in range(0, min(self.judged, rows_in(split.prompt)), self.chunk):
                prompt = {k: v[i : min(i + self.chunk, self.judged)].to(device) for k, v in split.prompt.items()}
                said = self.play(made, prompt)
                distance = reverse_kl(judge(said.x), made(said.x), each=True)
                apart, words = apart + distance.double().sum().item(), words + distance.numel()
        return -apart / max(words, 1)


class Halves:
    """A corpus whose rows are cut at twice the length of their prompts, and asked for after those."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.train, self.valid = halved(corpus.train), halved(corpus.valid)

    @property
    def test(self) -> Part:
        return halved(self.corpus.test)


def halved(part: Part) -> Part:
    """The same rows: a prompt, and as many words after it, of which each and the one after the last are to be answered."""
    assert part.prompt is not None
    half = part.prompt["input_ids"].shape[1]
    ids = part.x["input_ids"][:, : 2 * half].contiguous()
    asked = torch.arange(2 * half).expand_as(ids) >= half - 1
    return Part({"input_ids": ids, "asked": asked}, part.y[:, : 2 * half].masked_fill(~asked, -1), part.prompt)


def writing(
    seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any
) -> Writing:
    """The world; `ready` trains its teacher and its student's start (once a process and seed)."""
    plain = texts(seed, ready=ready, small=small, path=path)
    steps = 24 if small else 60
    data = Halves(plain.data)
    world = Writing(seed=seed, data=data, batch=plain.batch, steps=steps, new_student=plain.new_student, given_teacher=plain.given_teacher,
                    more=data.train.x["input_ids"].shape[1] // 2, stop=plain.stop, player=Player(adamw(1e-3), cosine(steps, steps // 10), clip=1.0))  # fmt: skip
    if ready and not small:
        world.new_student = functools.partial(
            copy.deepcopy, _begun(seed, None if path is None else Path(path), torch.get_default_dtype())
        )
    return recast(world, **changes)


@functools.cache
def _begun(seed: int, path: Path | None, _dtype: torch.dtype) -> nn.Module:
    """The student, having read what the world's budget of `texts` allows."""
    world = texts(seed, path=path)
    with stream(seed, "student"):
        return trained(world, world.student(), world.steps, key("writing", seed))
