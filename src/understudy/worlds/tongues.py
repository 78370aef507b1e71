"""Running text that teacher and student read through different tokenizers: the student has 512 words, the teacher 400 of its own.

The text, the files that are held out and the score are those of `texts`; both answer at the places where both have come as far in it.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from torch import nn

from understudy.core.errors import Sealed
from understudy.core.seeds import key, stream
from understudy.core.world import Player, recast
from understudy.data.chats import Chats, Document, Part, Reader, prepare
from understudy.data.code import library, train_tokenizer
from understudy.parts.schedule import cosine
from understudy.worlds.rows import trained
from understudy.worlds.texts import SHAPES, TINY, Texts, adamw, llama, read


class Shut(Chats):
    """Whose test split stays sealed for good."""

    @property
    def test(self) -> Part:
        raise Sealed("the test split of a small world was read")


@functools.cache
def _prepared(size: int, words: tuple[int, int], length: int, path: Path | None, most: int | None) -> tuple[Chats, Chats]:
    """Rows for both, and for the teacher alone as it reads by itself."""
    found = library(size) if path is None else read(path)
    cuts = [len(found) * 8 // 10, len(found) * 9 // 10]
    parts = {"train": found[: cuts[0]], "valid": found[cuts[0] : cuts[1]], "test": found[cuts[1] :]}
    student, teacher = (Reader(train_tokenizer(parts["train"][i::2], n)) for i, n in enumerate(words))
    pieces = {
        k: [Document(((t[i : i + 2 * length], True),)) for t in v for i in range(0, len(t), 2 * length)][:most]
        for k, v in parts.items()
    }
    kind = Shut if most else Chats
    both = prepare(kind("library", dict(pieces)), {"student": student, "teacher": teacher}, length, False, False)
    own = prepare(kind("library", dict(pieces)), {"student": teacher}, length, False, False)
    return both, own


def tongues(seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any) -> Texts:
    """The world; `ready` trains the teacher on its own reading (once a process and seed). path: other text, as in `texts`."""
    where = None if path is None else Path(path)
    size, words, length, most = (60_000, (280, 270), 12, 64) if small else (600_000, (512, 400), 48, None)
    batch, steps = (8, 24) if small else (16, 200)
    data, _ = _prepared(size, words, length, where, most)
    pupil, master = TINY if small else SHAPES
    world = Texts(seed=seed, data=data, batch=batch, steps=steps, new_student=functools.partial(llama, words[0], pupil), stop=1,
                  player=Player(adamw(4e-3), cosine(steps, steps // 10), clip=1.0))  # fmt: skip
    if ready and not small:
        world.given_teacher = _read(seed, where, torch.get_default_dtype())
    else:
        with stream(seed, "teacher"):
            world.given_teacher = llama(words[1], master)
    return recast(world, **changes)


@functools.cache
def _read(seed: int, path: Path | None, _dtype: torch.dtype, steps: int = 400) -> nn.Module:
    world = tongues(seed, path=path)
    assert world.given_teacher is not None
    own = _prepared(600_000, (512, 400), 48, path, None)[1]
    return trained(recast(world, data=own, size=len(own.train.y), batch=32), world.given_teacher, steps, key("tongues", seed),
                   player=Player(adamw(3e-3), cosine(steps, 50), clip=1.0))  # fmt: skip
