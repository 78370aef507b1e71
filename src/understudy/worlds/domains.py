"""Four domains: much prose and code, few sums and logs. The teacher has read as much of each; the student what lies there, so far.

Scored by the log-likelihood of a token, mean over domains, of which each counts alike. The texts of prose and code are the documentation
and the code of Python's standard library, those of sums and logs come out of a grammar.
"""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core.batch import Batch
from understudy.core.seeds import stream
from understudy.core.world import Player, recast
from understudy.data.code import library, train_tokenizer
from understudy.data.kinds import logs, prose_and_code, sums
from understudy.parts.schedule import cosine
from understudy.worlds._marked import Marked, cut, read, several
from understudy.worlds.texts import SHAPES, TINY, Corpus, Part, Texts, adamw, llama

NAMES, ROWS = ("prose", "code", "sums", "logs"), (700, 700, 120, 120)
SIZE, WORDS, LENGTH, HELD = (
    1_400_000,
    512,
    48,
    60,
)  # bytes of the library; of the tokenizer; tokens of a row; rows a domain to judge by


@dataclass
class Domains(Marked):
    """Marks: `domain` [N] of a row, a number. kept: the rows of `probe`."""

    kept: Part | None = None

    def probe(self) -> Batch:
        """Rows of every domain that nothing learns from, to see how a network does in each: x, y, domain [N]. They lie on the training
        side: neither validation nor test rows are among them."""
        assert self.kept is not None
        return Batch(x=self.kept.x, y=self.kept.y, domain=torch.arange(len(self.kept.y)) // (len(self.kept.y) // len(NAMES)))

    def measure(self, made: nn.Module | Batch, split: Any) -> dict[str, float]:
        """likelihood: mean over domains; and of each domain by its name."""
        rows = len(split.y) // len(NAMES)
        own = [super(Domains, self).measure(made, cut(split, slice(i * rows, (i + 1) * rows))) for i in range(len(NAMES))]
        mean = {k: sum(m[k] for m in own) / len(own) for k in own[0]}
        return mean | {name: m["likelihood"] for name, m in zip(NAMES, own, strict=True)}


@functools.cache
def _tokens(size: int, words: int) -> tuple[dict[str, list[Tensor]], Any]:
    """The tokens of every domain in three splits, apart in files and in chance, and their tokenizer."""
    files = [prose_and_code(text) for text in library(size)]
    cuts = {"train": slice(0, len(files) * 8 // 10), "valid": slice(len(files) * 8 // 10, len(files) * 9 // 10),
            "test": slice(len(files) * 9 // 10, None)}  # fmt: skip
    texts = {}
    for split, where in cuts.items():
        most = size // (12 if split == "train" else 60)  # letters
        own = ("\n".join(prose for prose, _ in files[where]), "\n".join(code for _, code in files[where]),
               sums(most // 10, split), logs(most // 30, split))  # fmt: skip
        texts[split] = [text[:most] for text in own]
    tokenizer = train_tokenizer(texts["train"], words)
    return {k: [torch.tensor(tokenizer(t).input_ids) for t in v] for k, v in texts.items()}, tokenizer


def domains(seed: int = 0, *, ready: bool = False, small: bool = False, **changes: Any) -> Domains:
    """The world; `ready` trains its teacher and its student's start (once a process and seed)."""
    size, words, length, held, kept = (150_000, 280, 12, 4, 2) if small else (SIZE, WORDS, LENGTH, HELD, 16)
    batch, steps, rows = (8, 24, (24, 24, 8, 8)) if small else (16, 200, ROWS)
    tokens, _ = _tokens(size, words)
    wanted = {k: [max(rows) + kept if k == "train" else held] * len(NAMES) for k in tokens}
    data = Corpus({k: several(v, length, wanted[k]) for k, v in tokens.items()}, length, 4, shut=small)
    own = torch.arange(sum(wanted["train"])).view(len(NAMES), -1)  # the windows of each domain, of which the last are kept
    probe = cut(data.train, own[:, -kept:].flatten())
    data.train = cut(data.train, torch.cat([windows[:n] for windows, n in zip(own, rows, strict=True)]))
    pupil, master = TINY if small else SHAPES
    world = Domains(seed=seed, data=data, batch=batch, steps=steps, kept=probe, stop=1, new_student=functools.partial(llama, words, pupil),
                    marks={"domain": torch.arange(len(NAMES)).repeat_interleave(torch.tensor(rows))},
                    player=Player(adamw(2e-3), cosine(steps, steps // 10), clip=1.0))  # fmt: skip
    world.metric = "log-likelihood of a token (nats), mean over domains"
    if ready and not small:
        start, world.given_teacher = _schooled(seed, torch.get_default_dtype())
        world.new_student = functools.partial(copy.deepcopy, start)
    else:
        with stream(seed, "teacher"):
            world.given_teacher = llama(words, master)
    return recast(world, **changes)


@functools.cache
def _schooled(seed: int, _dtype: torch.dtype) -> tuple[nn.Module, nn.Module]:
    """Where the student starts, having read from the rows as they lie; and a teacher that has read more, as much of each domain."""
    world, (tokens, _) = domains(seed), _tokens(SIZE, WORDS)
    assert world.given_teacher is not None
    flat = {k: several(v, LENGTH, [max(ROWS) if k == "train" else HELD] * len(NAMES)) for k, v in tokens.items()}
    teacher = read(Texts(seed=seed, data=Corpus(flat, LENGTH, 4)), world.given_teacher, 300, 4e-3, "domains", seed)
    with stream(seed, "student"):
        return read(world, world.student(), 60, 4e-3, "domains", seed), teacher
