"""Word problems of a few words each, for students that write their answers.

- `reasons`: "tom has 3 pens. gets 4. eats 2. how many": a teacher that is told to writes down the steps, one after another. Real
  problems come through `path` (GSM8K's folder), with people's steps or those of a language model that is named by `by`.
- `distractors`: one step, and a word of when it was, which in the rows to learn from gives nine answers of ten away and in the
  rows for the score none. The student has read such rows before, the teacher others, where it means nothing.
- `readings`: something short about a long list: how many pens are on it, or which thing is marked. Of the answers to learn from
  some are off by one; those that the teacher learned from aren't.

A teacher is the same for all seeds; the student, its start and the order of rows aren't.
"""

from __future__ import annotations

import copy
import functools
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core import seal
from understudy.core.batch import Batch
from understudy.core.errors import Sealed, refuse
from understudy.core.seeds import key, stream
from understudy.core.world import Optimiser, Player, recast
from understudy.models.causal import Causal
from understudy.models.seq2seq import Joined, Seq2Seq
from understudy.parts.prompts import followed
from understudy.parts.schedule import cosine
from understudy.teachers.stored import Stored
from understudy.worlds.rows import Rows, trained

STOP, OTHER = 0, 1  # the first two words: what ends a text (and fills it up in front), and a word that isn't known
LABEL, RATIONALE = "[label]", "[rationale]"
SPLITS = {"train": 1000, "valid": 300, "test": 600, "pool": 6000}  # pool: what teachers read
SMALL = {"train": 64, "valid": 16, "test": 8, "pool": 8}
Problem = tuple[list[str], list[str], list[str]]  # question, steps, answer


class Words:
    """Their numbers; the first two aren't words."""

    def __init__(self, said: Iterable[str], most: int = 2000) -> None:
        self.words = ["", "[other]", LABEL, RATIONALE, *sorted(w for w, _ in Counter(said).most_common(most))]
        self.number = {w: i for i, w in enumerate(self.words)}

    @property
    def size(self) -> int:
        """Words that a network knows, one to spare among them."""
        return len(self.words) + 1

    def read(self, words: list[str]) -> list[int]:
        return [self.number.get(w, OTHER) for w in words]

    def text(self, ids: Tensor | list[int]) -> str:
        return " ".join(self.words[int(i)] for i in ids if int(i) > 0)


@dataclass(frozen=True)
class Part:
    """x, y [N, L] as the task `lm` has them; more: what else comes with a row, by name; steps [N, R]: those written down for it,
    which no student sees."""

    x: Any
    y: Tensor
    more: dict[str, Tensor] = field(default_factory=dict)
    steps: Tensor | None = None


@dataclass
class Text:
    """pool: rows that only teachers read."""

    words: Words
    train: Part
    valid: Part
    pool: Part
    _test: Part
    shut: bool

    @property
    def test(self) -> Part:
        seal.check("the test split of problems")
        if self.shut:
            raise Sealed("the test split of a small world was read")
        return self._test


@dataclass
class Problems(Rows):
    """Rows with what else comes with them; exact: the answers that are right when the likeliest word is written, to the end."""

    def rows(self, step: int, split: str = "train") -> Batch:
        return self._with_more(super().rows(step, split), self.data.train if split == "train" else self.data.valid)

    def sweep(self) -> Iterator[Batch]:
        return (self._with_more(b, self.data.train) for b in super().sweep())

    @staticmethod
    def _with_more(batch: Batch, part: Part) -> Batch:
        return Batch({**batch, **{k: v[batch.row] for k, v in part.more.items()}})


def _filled(lines: list[list[int]], width: int, fill: int, front: bool = False) -> Tensor:
    """Lists of numbers as the rows of one tensor, filled up behind or in front; -> [N, width]"""
    fills = [[fill] * (width - len(line)) for line in lines]
    return torch.tensor([f + line if front else line + f for line, f in zip(lines, fills, strict=True)])


def _apart(row: Callable[[random.Random, str], Problem], sizes: dict[str, int], name: str) -> dict[str, list[Problem]]:
    """Rows for every split, each different, no question in two splits."""
    dice, found = random.Random(key(name, "rows")), set[str]()
    made: dict[str, list[Problem]] = {split: [] for split in sizes}
    for split, n in sizes.items():
        while len(made[split]) < n:
            new = row(dice, split)
            if " ".join(new[0]) not in found:
                found.add(" ".join(new[0]))
                made[split].append(new)
    return made


def _adam(lr: float) -> Optimiser:
    return functools.partial(torch.optim.AdamW, lr=lr, weight_decay=0.01)


def _player(lr: float, steps: int) -> Player:
    return Player(_adam(lr), cosine(steps, steps // 20), clip=1.0)


def _schooled(world: Problems, net: nn.Module, part: Part, steps: int) -> nn.Module:
    """The network after some steps on the labels of a part alone."""
    data = copy.copy(world.data)
    data.train = part
    return trained(recast(world, data=data, size=len(part.y)), net, steps, world.seed, player=_player(3e-3, steps))


# ------------------------------------------------------------------------------------------------------------ the grammar of all

WHO, WHAT = ["tom", "ann", "sam", "eve", "max", "ida"], ["pens", "cups", "figs", "nuts"]
MORE, LESS = ["gets", "finds", "buys"], ["loses", "gives", "eats"]
WHEN = ["monday", "tuesday", "friday", "noon", "dawn", "night", "spring", "summer", "autumn", "winter"]


def _steps(dice: random.Random, steps: int, top: int) -> tuple[list[list[str]], list[str], int]:
    """Clauses of a problem whose numbers stay in [0, top), its steps, its answer."""
    while True:
        have = dice.randrange(top)
        said = [[dice.choice(WHO), "has", str(have), dice.choice(WHAT), "."]]
        why: list[str] = []
        for _ in range(steps):
            n, more = dice.randrange(1, top), dice.random() < 0.5
            now = have + n if more else have - n
            said += [[dice.choice(MORE if more else LESS), str(n), "."]]
            why += [str(have), "+" if more else "-", str(n), "=", str(now), "."]
            have = now
            if not 0 <= now < top:
                break
        else:
            return said, why, have


# ----------------------------------------------------------------------------------------------------------------------- reasons


class Writer(nn.Module):
    """A language model that answers prompts [N, Q] with the likeliest words; -> [N, more] of them, -1 after the end."""

    def __init__(self, lm: Causal, more: int) -> None:
        super().__init__()
        self.lm, self.more = lm, more

    @torch.no_grad()
    def forward(self, ask: Tensor) -> Tensor:
        said = self.lm.write(ask, self.more, greedy=True)[:, ask.shape[1] :]
        ends = (said == self.lm.stop).long()
        return said.where(ends.cumsum(1) - ends == 0, -1)


class _Aloud(nn.Module):
    """Reads out what was written down, batch by batch."""

    def __init__(self, said: Tensor) -> None:
        super().__init__()
        self.left = said

    def forward(self, ask: Tensor) -> Tensor:
        said, self.left = self.left[: len(ask)], self.left[len(ask) :]
        return said


def _reasoned(dice: random.Random, _split: str) -> Problem:
    said, why, have = _steps(dice, 2, 10)
    return [*(w for clause in said for w in clause), "how", "many"], why, [str(have)]


LONGEST = (90, 90, 6)  # words of a real question, its steps, its answer; what is longer is left out
TOKEN = re.compile(r"\d|[^\W\d]+|[^\w\s]")  # digits one by one
WRITERS = ("people", "6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")


def _gsm8k(path: Path, by: str) -> dict[str, list[Problem]]:
    """Real problems and true answers. People's steps are those of train.jsonl. A language model's are of the test questions, the
    only ones it was asked: those are split anew."""
    if by not in WRITERS:
        raise refuse("reasons.by", by, f"one of {', '.join(WRITERS)}")
    if by == "people":
        rows, test = (_lines(path / f"{name}.jsonl", "answer", "answer") for name in ("train", "test"))
        test = [r for r in test if r not in rows]
    else:
        rows, test = _lines(path / "example_model_solutions.jsonl", by, "ground_truth"), []
    random.Random(key("reasons", "order")).shuffle(rows)
    held = len(rows) // 10
    test = test or rows[held : 2 * held]
    return {"valid": rows[:held], "test": test, "train": rows[held if by == "people" else 2 * held :], "pool": []}


def _lines(file: Path, steps: str, answer: str) -> list[Problem]:
    """The rows of a file whose question, steps and answer aren't too long, every question once."""
    if not file.is_file():
        raise refuse("path", str(file.parent), f"a folder with {file.name}", "GSM8K as it is published")
    found: dict[str, Problem] = {}
    for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            said = row[steps]["solution"] if isinstance(row[steps], dict) else row[steps]
            texts = row["question"], _halves(said)[0], re.sub(r"[^\d.-]", "", _halves(row[answer])[1])
            asked, why, true = (TOKEN.findall(text.lower()) for text in texts)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise refuse(f"{file.name}:{number}", line[:60], f"an object with 'question', '{steps}' and '{answer}'") from None
        if all(0 < len(r) <= n for r, n in zip((asked, why, true), LONGEST, strict=True)):
            found.setdefault(" ".join(asked), (asked, why, true))
    if len(found) < 20:
        raise refuse("path", str(file), "20 short problems or more", f"it has {len(found)}")
    return list(found.values())


def _halves(text: str) -> tuple[str, str]:
    """Steps, without the notes of a calculator, and what follows as the answer."""
    why, _, answer = re.sub(r"<<.*?>>", "", text).replace("####", "A:").rpartition("A:")
    return why, answer


@functools.lru_cache(maxsize=8)
def _reasons(small: bool, path: Path | None, by: str) -> Text:
    made = _gsm8k(path, by) if path else _apart(_reasoned, SMALL if small else SPLITS, "reasons")
    words = Words(w for part in ("train", "pool") for row in made[part] for text in row for w in text)
    ask, why, say = (max(len(row[i]) for rows in made.values() for row in rows) + 1 for i in range(3))
    parts = {}
    for name, rows in made.items():
        if rows:
            asked = _filled([words.read(q) for q, _, _ in rows], ask - 1, STOP, front=True)
            prompts = [torch.cat([torch.full_like(asked[:, :1], words.number[p]), asked], 1) for p in (LABEL, RATIONALE)]
            labels, steps = (_filled([[*words.read(row[i]), STOP] for row in rows], n, -1) for i, n in ((2, say), (1, why)))
            parts[name] = Part(*followed(prompts[0], labels), {"ask": prompts[1]}, steps)
    return Text(words, parts["train"], parts["valid"], parts.get("pool", parts["train"]), parts["test"], small)


def reasons(seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, by: str = "people",
            **changes: Any) -> Problems:  # fmt: skip
    """x, y [N, L] questions and their answers, ask [N, Q] the questions with the other prefix. Its teacher is asked those and
    says steps, -1 after their end. `ready` trains it, or reads real steps from `path`; see `WRITERS` for `by`."""
    data = _reasons(small, None if path is None else Path(path), by)
    ask, more = data.train.more["ask"].shape[1], data.train.steps.shape[1]  # type: ignore[union-attr]
    net = functools.partial(Causal, data.words.size, ask + more, STOP)
    batch, steps = (8, 24) if small else (32, 300)
    student = functools.partial(net, *((8, 1, 2, 0.5) if small else (32, 2, 4)))
    world = Problems(seed=seed, task="lm", data=data, batch=batch, steps=steps, new_student=student, player=_player(4e-3, steps))
    if ready and not small:
        world.given_teacher = _writer(None if path is None else Path(path), by, torch.get_default_dtype())
    else:
        with stream(seed, "teacher"):  # untrained, it is to heed what it is asked
            world.given_teacher = Writer(net(8, 1, 2, 0.5) if small else net(64, 2, 4), more)
    return recast(world, **changes)


@functools.lru_cache(maxsize=4)
def _writer(path: Path | None, by: str, _dtype: torch.dtype) -> nn.Module:
    """What the teacher says of the training rows, asked once: real steps, or those of a language model that read the pool's."""
    world = reasons(path=path, by=by)
    train, pool, teacher = world.data.train, world.data.pool, world.given_teacher
    assert train.steps is not None and pool.steps is not None
    if path is None:
        assert isinstance(teacher, Writer)
        teacher.lm = _schooled(world, teacher.lm, Part(*followed(pool.more["ask"], pool.steps)), 500)  # type: ignore[assignment]
    return Stored(_Aloud(train.steps) if path else teacher, train.more["ask"].split(256))  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------------------- distractors

TOP = 6  # answers, and words of when it was
TELLS = {"train": 0.9, "before": 0.9}  # how often that word gives the answer away, beyond chance
FORMS = ["it is {} .", "{} .", "on a {}", "it is a cold {} ."]


def _distracted(dice: random.Random, split: str) -> Problem:
    said, why, have = _steps(dice, 1, TOP)
    when = have if dice.random() < TELLS.get(split, 0.0) else dice.randrange(TOP)
    said.insert(dice.randrange(1, len(said) + 1), dice.choice(FORMS).format(WHEN[when]).split())
    return [*(w for clause in said for w in clause), "how", "many"], why, [str(have)]


@functools.lru_cache(maxsize=2)
def _distractors(small: bool) -> tuple[Text, Part]:
    """The rows, and those that the student has read before."""
    sizes = SMALL if small else SPLITS
    made = _apart(_distracted, sizes | {"before": sizes["train"]}, "distractors")
    words = Words(w for rows in made.values() for q, _, a in rows for w in q + a)
    lines = {k: [(words.read(q), [*words.read(a), STOP]) for q, _, a in rows] for k, rows in made.items()}
    longest = max(len(q) + len(a) - 1 for rows in lines.values() for q, a in rows)
    parts = {k: Part(_filled([q + a[:-1] for q, a in rows], longest, STOP),
                     _filled([[-1] * (len(q) - 1) + a for q, a in rows], longest, -1)) for k, rows in lines.items()}  # fmt: skip
    return Text(words, parts["train"], parts["valid"], parts["pool"], parts["test"], small), parts["before"]


def distractors(seed: int = 0, *, ready: bool = False, small: bool = False, **changes: Any) -> Problems:
    """x, y [N, L] questions and their answers. `ready` trains the teacher and where the student starts."""
    data, _ = _distractors(small)
    net = functools.partial(Causal, data.words.size, data.train.y.shape[1] + 1, STOP)
    batch, steps = (8, 24) if small else (32, 250)
    world = Problems(seed=seed, task="lm", data=data, batch=batch, steps=steps, player=_player(3e-3, steps))
    world.new_student = functools.partial(net, *((8, 1, 2, 0.5) if small else (32, 2, 4)))
    with stream(seed, "teacher"):
        world.given_teacher = net(16, 1, 2, 0.5) if small else net(64, 2, 4, 0.1)
    if ready and not small:
        dtype = torch.get_default_dtype()
        world.new_student = functools.partial(copy.deepcopy, _misled(seed, dtype))
        world.given_teacher = _careful(dtype)
    return recast(world, **changes)


@functools.lru_cache(maxsize=4)
def _misled(seed: int, _dtype: torch.dtype) -> nn.Module:
    """Where the student starts: it has read rows whose answer that word gives away."""
    world = distractors(seed)
    with stream(seed, "student"):
        return _schooled(world, world.student(), _distractors(False)[1], 200)


@functools.lru_cache(maxsize=2)
def _careful(_dtype: torch.dtype) -> nn.Module:
    """The teacher, who has read rows where that word says nothing."""
    world = distractors()
    assert world.given_teacher is not None
    return _schooled(world, world.given_teacher, world.data.pool, 800)


# ---------------------------------------------------------------------------------------------------------------------- readings

ITEMS = 10
SLIPS = {"train": 0.3}  # how often the people who wrote the answers down were off by one


def _listed(dice: random.Random, split: str) -> Problem:
    items, at = [dice.choice(WHAT) for _ in range(ITEMS)], dice.randrange(ITEMS)
    slip = dice.choice((-1, 1)) if dice.random() < SLIPS.get(split, 0.0) else 0
    count, item = str(max(0, items.count("pens") + slip)), items[(at + slip) % ITEMS]
    what, answer = ("how many pens", count) if dice.random() < 0.5 else ("which has *", item)
    return [*what.split(), ":", *items[:at], "*", *items[at:], "?"], [], [answer]


@functools.lru_cache(maxsize=2)
def _readings(small: bool) -> Text:
    made = _apart(_listed, SMALL if small else SPLITS | {"train": 300}, "readings")
    words = Words(w for rows in made.values() for q, _, a in rows for w in q + a)
    longest = 1 + max(len(a) for rows in made.values() for _, _, a in rows)
    parts = {}
    for name, rows in made.items():
        y = _filled([[*words.read(a), STOP] for _, _, a in rows], longest, -1)
        said = torch.cat([torch.full_like(y[:, :1], STOP), y[:, :-1].clamp(min=0)], 1)
        parts[name] = Part({"prompt": torch.tensor([words.read(q) for q, _, _ in rows]), "said": said}, y, {"mask": y >= 0})
    return Text(words, parts["train"], parts["valid"], parts["pool"], parts["test"], small)


def readings(seed: int = 0, *, ready: bool = False, small: bool = False, **changes: Any) -> Problems:
    """x {prompt [N, Q], said [N, A]}, y [N, A] answers, mask [N, A] where there is one. The student has an encoder for the
    prompt, the teacher none. `ready` trains the teacher."""
    data = _readings(small)
    vocab, longest = data.words.size, data.train.x["prompt"].shape[1] + data.train.y.shape[1]
    batch, steps = (8, 24) if small else (32, 200)
    world = Problems(seed=seed, task="lm", data=data, batch=batch, steps=steps, player=_player(4e-3, steps))
    world.new_student = functools.partial(Seq2Seq, vocab, longest, *((8, 1, 2) if small else (32, 1, 4)))
    if ready and not small:
        world.given_teacher = _reader(torch.get_default_dtype())
    else:
        with stream(seed, "teacher"):
            world.given_teacher = Joined(Causal(vocab, longest, STOP, *((16, 1, 2, 0.5) if small else (64, 2, 4, 0.1))))
    return recast(world, **changes)


@functools.lru_cache(maxsize=4)
def _reader(_dtype: torch.dtype) -> nn.Module:
    world = readings()
    pool, teacher = world.data.pool, world.given_teacher
    assert isinstance(teacher, Joined)
    x = torch.cat([pool.x["prompt"], pool.x["said"][:, 1:]], 1)
    y = torch.cat([torch.full_like(pool.x["prompt"][:, 1:], -1), pool.y], 1)
    teacher.lm = _schooled(world, teacher.lm, Part(x, y), 800)  # type: ignore[assignment]
    return teacher
