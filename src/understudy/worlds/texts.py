"""Running text for language models: the source of Python's standard library, which every machine has.

A teacher that has read for a while, a student of an eighth of its size that begins at random, both tiny Llamas behind one byte-pair
tokenizer; scored by the log-likelihood of a token of files that neither has read. Other texts come through `path` (a file, or a folder of them).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core import seal
from understudy.core.batch import Batch, each, rows_in
from understudy.core.errors import Sealed, refuse
from understudy.core.seeds import key, stream
from understudy.core.world import Optimiser, Player, recast
from understudy.data.address import need
from understudy.data.code import library, train_tokenizer
from understudy.models.lm import LM, evaluating
from understudy.parts import fused
from understudy.parts.divergence import nll
from understudy.parts.lazy import Lazy
from understudy.parts.schedule import cosine
from understudy.worlds.rows import Rows, trained


@dataclass(frozen=True)
class Part:
    """x: {input_ids, asked, ...} [R, L], what a model reads and where it is to answer, or `Views` of it; y [R, L] what should be answered there, -1 hidden;
    prompt: {input_ids, attention_mask} [R, P], padded on the left, for who writes."""

    x: Any
    y: Tensor
    prompt: dict[str, Tensor] | None = None


@dataclass
class Texts(Rows):
    """Rows of tokens. signal: whose words a method learns from that doesn't say otherwise, the texts' ('online') or the student's own ('on-policy').

    more: tokens that are written after a prompt, at temperature `warmth`. stop: the token that ends what is written, -1 = none does.
    """

    task: str = "lm"
    signal: str = "online"
    more: int = 32
    warmth: float = 1.0
    stop: int = -1
    chunk: int = 64  # rows judged at a time

    def __post_init__(self) -> None:
        super().__post_init__()
        self.metric, self.share = "log-likelihood of a token (nats)", False

    def rows(self, step: int, split: str = "train") -> Batch:
        batch = super().rows(step, split)
        prompt = (self.data.train if split == "train" else self.data.valid).prompt
        return batch if prompt is None else Batch({**batch, "prompt": each(prompt, lambda t: t[batch.row])})

    def source(self, run: Any) -> Batch:
        batch = run.rows()
        return batch if self.signal == "online" else self.play(run["student"], batch.prompt)

    def both(self, out: Any, target: Any, batch: Batch, hard: float, soft: float, t: float) -> dict[str, Tensor]:
        if not isinstance(out, Lazy):
            return super().both(out, target, batch, hard, soft, t)
        apart, cost = fused.both(fused.FORWARD, target, out, batch.y, t, soft * t * t, hard)
        return {"hard": cost, "soft": apart}

    def weight(self, batch: Batch) -> float:
        """Tokens that are asked for."""
        return float((batch.y >= 0).sum())

    @torch.no_grad()
    def play(self, actor: nn.Module, x: Any, greedy: bool = False) -> Batch:
        """What the actor writes after prompts {input_ids, attention_mask} [N, P], as rows to learn from: answers are asked for where it wrote, up to
        and with the word that ends it."""
        tokens: Tensor = actor.write(x, self.more, greedy=greedy, t=self.warmth)  # type: ignore[operator]
        start = x["input_ids"].shape[1]
        ends = (tokens[:, start:] == self.stop).long()
        written = nn.functional.pad(ends.cumsum(1) - ends == 0, (start - 1, 0))
        real = nn.functional.pad(x["attention_mask"], (0, self.more - 1), value=1)
        y = tokens[:, 1:].masked_fill(~written, -1)
        return Batch(x={"input_ids": tokens[:, :-1], "position_ids": places(real), "asked": written}, y=y, prompt=x)

    def measure(self, made: nn.Module | Batch, split: Any) -> dict[str, float]:
        """likelihood: log of a token's, in nats, mean over tokens; perplexity; accuracy of the likeliest token."""
        if not isinstance(made, nn.Module):
            raise refuse("artefact", type(made).__name__, "a language model")
        device = next(made.parameters()).device
        cost, right, tokens = 0.0, 0.0, 0
        with torch.no_grad(), evaluating(made):
            for i in range(0, rows_in(split.x), self.chunk):
                x, y = (each(part, lambda t, i=i: t[i : i + self.chunk].to(device)) for part in (split.x, split.y))
                out, known = made(x), y >= 0
                cost += nll(out, y, each=True).double().sum().item()
                right += (out.argmax() == y)[known].sum().item()
                tokens += int(known.sum())
        return {
            "likelihood": -cost / max(tokens, 1),
            "perplexity": math.exp(cost / max(tokens, 1)),
            "accuracy": right / max(tokens, 1),
        }

    def validate(self, artefact: nn.Module | Batch) -> float:
        return self.measure(artefact, self.data.valid)["likelihood"]

    def score(self, artefact: nn.Module | Batch) -> float:
        return self.measure(artefact, self.data.test)["likelihood"]


def places(real: Tensor) -> Tensor:
    """Where each token stands in its own text: padding is a text by itself, which nothing else attends to; 0/1 [N, L] -> [N, L]"""
    begins = torch.cat([torch.ones_like(real[:, :1]), (real[:, 1:] != real[:, :-1]).long()], 1)
    at = torch.arange(real.shape[1], device=real.device).expand_as(real)
    return at - (at * begins).cummax(1).values


# ------------------------------------------------------------------------------------------------------------------- the texts


class Corpus:
    """Windows of `length` tokens: `train`, `valid` and, sealed while something learns, `test`, each of files of its own."""

    def __init__(self, tokens: dict[str, Tensor], length: int, prompt: int, shut: bool = False) -> None:
        made = {k: _windows(v, length, prompt) for k, v in tokens.items()}
        self.train, self.valid, self._test, self.shut = made["train"], made["valid"], made["test"], shut

    @property
    def test(self) -> Part:
        seal.check("the test split of texts")
        if self.shut:
            raise Sealed("the test split of a small world was read")
        return self._test


def _windows(tokens: Tensor, length: int, prompt: int) -> Part:
    rows = tokens[: len(tokens) // (length + 1) * (length + 1)].view(-1, length + 1)
    begin = rows[:, :prompt].contiguous()
    x = {"input_ids": rows[:, :-1].contiguous(), "asked": torch.ones(len(rows), length, dtype=torch.bool)}
    return Part(x, rows[:, 1:].contiguous(), {"input_ids": begin, "attention_mask": torch.ones_like(begin)})


@functools.cache
def tokenised(size: int, words: int, path: Path | None = None) -> tuple[dict[str, Tensor], Any]:
    """So many bytes of text in three splits of whole files (8 : 1 : 1), as tokens one behind the other, and their tokenizer."""
    texts = library(size) if path is None else read(path)
    cuts = [len(texts) * 8 // 10, len(texts) * 9 // 10]
    parts = {"train": texts[: cuts[0]], "valid": texts[cuts[0] : cuts[1]], "test": texts[cuts[1] :]}
    tokenizer = train_tokenizer(parts["train"], words)
    return {
        k: torch.tensor([i for t in v for i in (*tokenizer(t).input_ids, tokenizer.eos_token_id)]) for k, v in parts.items()
    }, tokenizer


def read(path: Path) -> list[str]:
    """The texts of a file or folder; a single long one in stretches of its paragraphs. Raises `Refused` where there is too little."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.suffix in (".txt", ".py", ".md"))
    texts = [f.read_text("utf-8", errors="replace") for f in files]
    if len(texts) < 10:  # one long text: its paragraphs, ten in a row that stay together
        lines = "\n".join(texts).split("\n\n")
        texts = ["\n\n".join(lines[i : i + 10]) for i in range(0, len(lines), 10)]
    if sum(map(len, texts)) < 20_000:
        raise refuse("path", str(path), "20,000 characters or more, in .txt, .py or .md", "give a larger file or folder")
    return texts


# ------------------------------------------------------------------------------------------------------------------- the models

Shape = tuple[int, int, int]  # width, layers, heads


def llama(words: int, shape: Shape, longest: int = 256) -> LM:
    """A Llama of that shape with tied embeddings, from nothing."""
    transformers = need("transformers")
    width, layers, heads = shape
    config = transformers.LlamaConfig(vocab_size=words, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=layers, num_attention_heads=heads,
                                      num_key_value_heads=heads, max_position_embeddings=longest, tie_word_embeddings=True,
                                      bos_token_id=None, eos_token_id=1, pad_token_id=0)  # fmt: skip
    return LM(transformers.LlamaForCausalLM(config), words)


SHAPES: tuple[Shape, Shape] = (32, 1, 2), (64, 2, 4)  # student, teacher
TINY: tuple[Shape, Shape] = (8, 1, 2), (16, 1, 2)


def adamw(lr: float) -> Optimiser:
    return functools.partial(torch.optim.AdamW, lr=lr, weight_decay=0.01)


def texts(seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, shapes: tuple[Shape, Shape] | None = None,
          **changes: Any) -> Texts:  # fmt: skip
    """The world; `ready` trains the teacher (once a process and seed). shapes: of student and teacher, (width, layers, heads)."""
    size, words, length, prompt, more = (60_000, 280, 12, 4, 6) if small else (600_000, 512, 48, 16, 32)
    batch, steps = (8, 24) if small else (16, 200)
    where = None if path is None else Path(path)
    if where is not None and not where.exists():
        raise refuse("path", str(path), "a file or folder that exists")
    tokens, _ = tokenised(size, words, where)
    if small:
        tokens = {k: v[: 64 * (length + 1)] for k, v in tokens.items()}
    pupil, master = shapes or (TINY if small else SHAPES)
    data = Corpus(tokens, length, prompt, shut=small)
    world = Texts(seed=seed, data=data, batch=batch, steps=steps, new_student=functools.partial(llama, words, pupil), more=more, stop=1,
                  player=Player(adamw(4e-3), cosine(steps, steps // 10), clip=1.0))  # fmt: skip
    if ready and not small:
        world.given_teacher = _read_for_a_while(seed, where, pupil, master, torch.get_default_dtype())
    else:
        with stream(seed, "teacher"):
            world.given_teacher = llama(words, master)
    return recast(world, **changes)


@functools.cache
def _read_for_a_while(
    seed: int, path: Path | None, pupil: Shape, master: Shape, _dtype: torch.dtype, steps: int = 700
) -> nn.Module:
    world = texts(seed, path=path, shapes=(pupil, master), batch=32)
    assert world.given_teacher is not None
    return trained(world, world.given_teacher, steps, key("texts", seed), player=Player(adamw(3e-3), cosine(steps, 50), clip=1.0))
