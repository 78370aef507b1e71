"""An oracle whose every probability is known, a teacher that heard it for a while, a student that hears the teacher.

The oracle is a hidden Markov model, so what it would say next is computed exactly. Teacher and student are recurrent networks
that begin as what they made of the same few sequences of the oracle's; then the student learns answers to prompts: those that
the teacher once gave, those that it gives anew, or its own. Scored by the divergence of the student from the oracle, which
nothing in the training sees.
"""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core import seal
from understudy.core.batch import Batch
from understudy.core.errors import Sealed, refuse
from understudy.core.seeds import stream
from understudy.core.world import Player, recast
from understudy.parts.divergence import kl
from understudy.worlds.rows import Rows, trained

WORDS, STATES = 32, 24
PROMPT, LONG = 6, 20  # words of a prompt, and with its answer
SIGNALS = ("offline", "online", "on-policy")


class Oracle:
    """A hidden Markov model of `WORDS` words and `STATES` states with random, sharp tables."""

    def __init__(self, seed: int) -> None:
        with stream(seed, "oracle"):
            shapes = ((3, STATES), (3, STATES, STATES), (2, STATES, WORDS))  # how sharp, and how large
            self.begin, self.move, self.say = ((sharp * torch.randn(*shape)).softmax(-1) for sharp, *shape in shapes)

    def draw(self, n: int, length: int = LONG) -> Tensor:
        """Sequences from the current random stream; -> [n, length]"""
        state, said = self.begin.expand(n, -1).multinomial(1)[:, 0], []
        for _ in range(length):
            said.append(self.say[state].multinomial(1)[:, 0])
            state = self.move[state].multinomial(1)[:, 0]
        return torch.stack(said, 1)

    def logits(self, tokens: Tensor) -> Tensor:
        """Log-probabilities of the word after each prefix, by the forward algorithm; [N, L] -> [N, L, WORDS]"""
        belief, out = self.begin.expand(len(tokens), -1), []
        for word in tokens.unbind(1):
            heard = belief * self.say[:, word].T
            belief = heard / heard.sum(1, keepdim=True) @ self.move
            out.append((belief @ self.say).log())
        return torch.stack(out, 1)


class Recurrent(nn.Module):
    """A language model of one recurrent layer; [N, L] -> [N, L, WORDS] logits of the next word."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding, self.body, self.head = (
            nn.Embedding(WORDS, width),
            nn.GRU(width, width, batch_first=True),
            nn.Linear(width, WORDS),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.head(self.body(self.embedding(tokens))[0])
        return out

    @torch.no_grad()
    def write(self, tokens: Tensor, more: int) -> Tensor:
        """So many words after those given, drawn from the current random stream; [N, L] -> [N, L + more]"""
        out, state = self.body(self.embedding(tokens))
        for i in range(more):
            word = self.head(out[:, -1]).softmax(-1).multinomial(1)
            tokens = torch.cat([tokens, word], 1)
            if i < more - 1:
                out, state = self.body(self.embedding(word), state)
        return tokens


@dataclass(frozen=True)
class Part:
    """x [N, LONG - 1], y [N, LONG - 1] the next words, -1 where nothing is asked (inside a prompt)."""

    x: Tensor
    y: Tensor


def asked(tokens: Tensor, first: int = PROMPT) -> Part:
    """Sequences as rows, whose words from the `first` on are asked for."""
    y = tokens[:, 1:].clone()
    y[:, : first - 1] = -1
    return Part(tokens[:, :-1], y)


@dataclass
class Splits:
    """train: what the student may keep reading. Of validation and test, answers of the oracle and of the teacher to the same
    prompts."""

    train: Part
    valid: tuple[Part, Part]
    shut: tuple[Part, Part]
    small: bool = False

    @property
    def test(self) -> tuple[Part, Part]:
        seal.check("the test split of whispers")
        if self.small:
            raise Sealed("the test split of a small world was read")
        return self.shut


@dataclass
class Whispers(Rows):
    """signal: whose answers are learned from, the teacher's kept ones ('offline'), its new ones ('online') or the student's
    ('on-policy')."""

    task: str = "lm"
    signal: str = "offline"
    oracle: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.metric, self.share = "minus the KL of a word from the oracle (nats)", False

    def source(self, run: Any) -> Batch:
        batch = run.rows()
        if self.signal == "offline":
            return batch
        new = self.play(run["teacher" if self.signal == "online" else "student"], batch.x[:, :PROMPT])
        return Batch({**new, "row": batch.row})

    def play(self, actor: nn.Module, x: Tensor) -> Batch:
        """What the actor answers to prompts [N, PROMPT], as rows to learn from."""
        part = asked(actor.write(x, LONG - PROMPT))  # type: ignore[operator]
        return Batch(x=part.x, y=part.y)

    def both(self, out: Any, target: Any, batch: Batch, hard: float, soft: float, t: float) -> dict[str, Tensor]:
        here = batch.y >= 0  # what is said of a prompt isn't compared
        return super().both(out[here], target[here], Batch(y=batch.y[here]), hard, soft, t)

    @torch.no_grad()
    def apart(self, made: nn.Module, split: tuple[Part, Part]) -> dict[str, float]:
        """golden: KL from the oracle on its answers; proxy: from the teacher on its own, nats a word."""
        by_oracle, by_teacher = split
        assert self.given_teacher is not None
        far = lambda p, q, part: kl(p[part.y >= 0], q[part.y >= 0]).item()
        return {
            "golden": far(self.oracle.logits(by_oracle.x), made(by_oracle.x), by_oracle),
            "proxy": far(self.given_teacher(by_teacher.x), made(by_teacher.x), by_teacher),
        }

    def validate(self, artefact: nn.Module | Batch) -> float:
        assert isinstance(artefact, nn.Module)
        return -self.apart(artefact, self.data.valid)["golden"]

    def score(self, artefact: nn.Module | Batch) -> float:
        assert isinstance(artefact, nn.Module)
        return -self.apart(artefact, self.data.test)["golden"]


def _adam(lr: float) -> Player:
    return Player(functools.partial(torch.optim.Adam, lr=lr), clip=1.0)


def whispers(
    seed: int = 0,
    *,
    ready: bool = False,
    small: bool = False,
    signal: str = "offline",
    prompts: int = 64,
    answers: int = 1,
    **changes: Any,
) -> Whispers:
    """The world; `ready` lets teacher and student hear the oracle first. The student has `answers` of the teacher's to each of
    `prompts`."""
    if signal not in SIGNALS:
        raise refuse("whispers.signal", signal, f"one of {', '.join(SIGNALS)}")
    width, deep, held, batch, steps = (8, 12, 16, 8, 24) if small else (32, 48, 512, 32, 900)
    prompts = min(prompts, 32) if small else prompts
    oracle = Oracle(seed)
    with stream(seed, "teacher"):
        student, teacher = Recurrent(width), Recurrent(deep)
    if ready:
        student, teacher = _schooled(seed, small, torch.get_default_dtype())
    with stream(seed, "prompts"):
        asks, valid, test = oracle.draw(512, PROMPT)[:prompts], oracle.draw(held), oracle.draw(held)
        train = teacher.write(asks.repeat_interleave(answers, 0), LONG - PROMPT)
        pair = lambda tokens: (asked(tokens), asked(teacher.write(tokens[:, :PROMPT], LONG - PROMPT)))
        data = Splits(asked(train), pair(valid), pair(test), small)
    begin = (lambda: copy.deepcopy(student)) if ready else (lambda: Recurrent(width))
    world = Whispers(
        seed=seed,
        data=data,
        batch=batch,
        steps=steps,
        oracle=oracle,
        signal=signal,
        new_student=begin,
        given_teacher=teacher,
        player=_adam(2e-3),
    )
    return recast(world, **changes)


HEARD = 2000  # sequences of the oracle's


@functools.lru_cache(maxsize=4)
def _schooled(seed: int, small: bool, _dtype: torch.dtype) -> tuple[Recurrent, Recurrent]:
    """Student and teacher after some epochs of what the oracle said."""
    world = whispers(seed, small=small)
    with stream(seed, "heard"):
        data = copy.copy(world.data)
        data.train = asked(world.oracle.draw(64 if small else HEARD), 1)
    steps = (8, 16) if small else (60, 500)
    nets = (world.student(), world.given_teacher)
    student, teacher = (trained(world, net, n, seed, data=data, player=_adam(3e-3)) for net, n in zip(nets, steps, strict=True))
    assert isinstance(student, Recurrent) and isinstance(teacher, Recurrent)
    return student, teacher
