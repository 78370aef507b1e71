"""What a sentence asks for, from 60 sentences: six intents of a household's assistant, written by a grammar.

The student is a small classifier over words. The teacher writes: given a sentence and its intent, a new one of that intent. Here
it is a small language model that has read 3,000 sentences; `written_by` puts any chat endpoint in its place. With `path=` the
sentences are read from a folder of `CORPUS.train*` and `CORPUS.test*`, a label and words on every line (TREC, SST-2).
"""

from __future__ import annotations

import copy
import functools
import itertools
import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core import seal
from understudy.core.errors import Sealed, refuse
from understudy.core.seeds import key, stream
from understudy.core.world import Optimiser, Player, recast
from understudy.models.causal import Causal
from understudy.parts.schedule import cosine
from understudy.teachers.remote import Remote
from understudy.worlds.rows import Rows, trained

STOP, SEP = 0, 1  # the first two ids; then the labels, then the words
SLOTS = {
    "place": "in the kitchen|in the bedroom|in the hall|upstairs|in the garden",
    "city": "in paris|in oslo|in cairo|in lima|near the coast",
    "time": "at six|at noon|tonight|tomorrow|on friday|this weekend|in an hour|in the morning",
    "artist": "the beatles|mozart|nina simone|queen|bach",
    "person": "anna|my brother|the boss|our neighbour|grandma",
    "food": "sushi|pizza|a curry|tapas|breakfast",
    "what": "to water the plants|to feed the cat|about the meeting|to call home|about the train",
    "please": "please|can you|could you|would you|i want you to|",
}
GRAMMAR = {  # frames apart by ;, their parts by /, words to choose from by |
    "weather": "will it rain|snow|freeze|hail / city / time;do i need an umbrella / city / time;do i need a hat|coat / city;"
    "what is the forecast|temperature / city / time;please / check|see if there is wind|sun|fog / city / time",
    "music": "please / play|start / artist / place / time;start|stop the music|song|album / place;"
    "turn up|down the volume|sound / place;what song|album of / artist / is this|playing",
    "table": "please / book|reserve|get a table|seat for two|four|six / city / time;where can i eat / food / city / time;"
    "find me a restaurant|place with / food / city;is there a bar|place with / food / city / time",
    "reminder": "please / remind|tell me / what / time;set an alarm / time;set a timer|reminder / what / time;wake me up / time;"
    "note|remember that i have / what / time;when was i / what",
    "lights": "please / turn on|off the light|lamp / place;make it darker|brighter / place / time;"
    "dim|switch off the lamp|light / place / time;is the light|heating on|off / place",
    "message": "please / tell|text|call / person / time;send / person / a note|message|word / what;"
    "did / person / call|write|answer / time;read me the message|note from / person",
}


def _written(seed: int, n: int) -> list[tuple[int, list[str]]]:
    """n sentences of the grammar with the number of their intent, every intent as often."""
    dice = random.Random(key(seed, "grammar"))
    said = []
    for intent in itertools.islice(itertools.cycle(range(len(GRAMMAR))), n):
        frame = dice.choice(list(GRAMMAR.values())[intent].split(";"))
        words = (w for part in frame.split(" / ") for w in (_filled(SLOTS[part], dice) if part in SLOTS else _varied(part, dice)))
        said.append((intent, list(words)))
    return said


def _filled(choices: str, dice: random.Random) -> list[str]:
    return dice.choice(choices.split("|")).split()


def _varied(part: str, dice: random.Random) -> list[str]:
    """`turn up|down the volume` -> turn up the volume"""
    return [dice.choice(word.split("|")) for word in part.split(" ")]


LINE = re.compile(r"(\d+)\s+(\S.*)")


def _read(path: str | Path, corpus: str) -> dict[str, list[tuple[int, list[str]]]]:
    """The files of a folder, `CORPUS.train*` and `CORPUS.test*`. Raises `Refused` where one is missing or a line has no label."""
    found = {}
    for split in ("train", "test"):
        files = sorted(Path(path).glob(f"{corpus}.{split}*"))
        if len(files) != 1:
            raise refuse("intents.path", str(path), f"a folder with one file {corpus}.{split}*", f"{len(files)} are there")
        rows = []
        for i, line in enumerate(files[0].read_text("utf-8", errors="replace").splitlines()):
            if (match := LINE.fullmatch(line.strip())) is None:
                raise refuse(f"{files[0].name}:{i + 1}", line[:60], "a line `label word word ...`, the label a whole number")
            rows.append((int(match[1]), match[2].lower().split()))
        found[split] = rows
    return found


class Words:
    """Ids of the words that were read, the frequent ones first; sentences longer than `longest` are cut, other words left out."""

    def __init__(self, sentences: list[list[str]], classes: int, longest: int, most: int) -> None:
        count: dict[str, int] = {}
        for word in itertools.chain.from_iterable(sentences):
            count[word] = count.get(word, 0) + 1
        self.words = sorted(count, key=lambda w: (-count[w], w))[:most]
        self.longest, self.first = longest, 2 + classes
        self.ids = {w: self.first + i for i, w in enumerate(self.words)}
        self.size = self.first + len(self.words)

    def read(self, text: str) -> Tensor:
        """-> [longest], ended by stops"""
        ids = [self.ids[w] for w in text.lower().split() if w in self.ids][: self.longest]
        return torch.tensor(ids + [STOP] * (self.longest - len(ids)))

    def text(self, ids: Tensor) -> str:
        """[longest] -> words"""
        return " ".join(self.words[i - self.first] for i in ids.tolist() if i >= self.first)


class Bag(nn.Module):
    """The mean of a sentence's words, a hidden layer, a head; [N, L] -> [N, classes]"""

    def __init__(self, vocab: int, width: int, classes: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocab, width)
        self.hidden = nn.Sequential(nn.Linear(width, width), nn.ReLU())
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        there = (x != STOP).to(self.embed.weight)
        mean = (self.embed(x) * there[..., None]).sum(1) / there.sum(1, keepdim=True).clamp(min=1)
        out: Tensor = self.head(self.hidden(mean))
        return out


class Writer(nn.Module):
    """A language model that goes on from an intent, a sentence and a separator with another sentence of that intent."""

    def __init__(self, words: Words, width: int, layers: int, spread: float) -> None:
        super().__init__()
        self.longest, self.first = words.longest, words.first
        self.lm = Causal(words.size, 2 * words.longest + 2, STOP, width, layers, 4, spread)

    @staticmethod
    def asked(x: Tensor, y: Tensor) -> Tensor:
        """[N, L], [N] -> [N, L + 2]"""
        return torch.cat([y.clamp(min=0)[:, None] + 2, x, torch.full_like(x[:, :1], SEP)], 1)

    @torch.no_grad()
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """A new sentence for every given one; [N, L], [N] -> [N, L]. It ends where no word follows."""
        said = self.lm.write(self.asked(x, y), self.longest)[:, self.longest + 2 :]
        return said.where((said >= self.first).cumprod(1).bool(), STOP)


@dataclass(frozen=True)
class Part:
    x: Tensor
    y: Tensor


@dataclass
class Sentences:
    """60 seeds to learn from, 300 to choose on, the others for the score; `pool` is what the writer read."""

    words: Words
    classes: tuple[str, ...]
    train: Part
    valid: Part
    pool: Part
    _test: Part
    shut: bool

    @property
    def test(self) -> Part:
        seal.check("the test split of intents")
        if self.shut:
            raise Sealed("the test split of a small world was read")
        return self._test


@functools.lru_cache(maxsize=16)
def _sentences(seed: int, seeds: int, small: bool, path: str | None, corpus: str) -> Sentences:
    """The split hangs on the seed: which sentences are the seeds is the greater part of the chance here."""
    if path is None:
        rows, classes, longest = _written(seed, seeds + (60 if small else 4300)), tuple(GRAMMAR), 14
        held = rows[seeds + (20 if small else 300) + (20 if small else 3000) :]
    else:
        found = _read(path, corpus)
        held, longest = found["test"], 18
        rows = found["train"].copy()
        random.Random(key(seed, "order")).shuffle(rows)
        classes = tuple(map(str, range(1 + max(y for y, _ in rows + held))))
    few, more = (20, 20) if small else (300, 3000)
    words = Words([w for _, w in rows[:seeds] + rows[seeds + few : seeds + few + more]], len(classes), longest, 1500)
    part = lambda some: Part(torch.stack([words.read(" ".join(w)) for _, w in some]), torch.tensor([y for y, _ in some]))
    valid, pool = rows[seeds : seeds + few], rows[seeds + few : seeds + few + more]
    return Sentences(words, classes, part(rows[:seeds]), part(valid), part(pool), part(held), small)


@dataclass
class Intents(Rows):
    """x [N, L] word ids, y [N] intents. Its teacher is asked with (x [N, L], y [N]) and answers with new sentences [N, L]."""

    def written_by(self, url: str, model: str, key: str | None = None, **how: Any) -> Intents:
        """The same world with a chat endpoint as its teacher (see `Remote`)."""
        words, classes = self.data.words, self.data.classes

        def ask(x: Tensor, y: Tensor) -> list[dict[str, str]]:
            asked = f"Intent: {classes[int(y)]}\nSentence: {words.text(x)}\nWrite one new sentence of that intent, in lower case."
            return [{"role": "system", "content": "You write short sentences, one a time."}, {"role": "user", "content": asked}]

        return recast(self, given_teacher=Remote(url, model, ask, words.read, key=key, **how))


def intents(seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, corpus: str = "TREC",
            seeds: int = 60, **changes: Any) -> Intents:  # fmt: skip
    """The world; `ready` trains its writer for 300 steps (12 seconds, once a process and seed). path, corpus: real ones."""
    seeds = 16 if small else seeds
    data = _sentences(seed, seeds, small, None if path is None else str(path), corpus)
    width, layers, spread = (8, 1, 0.5) if small else (64, 2, 0.02)  # untrained, it is to heed what it is asked
    student = functools.partial(Bag, data.words.size, 8 if small else 16, len(data.classes))
    how = {"batch": 8, "steps": 24} if small else {"batch": 16, "steps": 4000}
    world = Intents(seed=seed, data=data, new_student=student, player=Player(_adam(1e-3)), **how)
    if ready and not small:
        world.given_teacher = _schooled(seed, seeds, None if path is None else str(path), corpus, torch.get_default_dtype())
    else:
        with stream(seed, "teacher"):
            world.given_teacher = Writer(data.words, width, layers, spread)
    return recast(world, **changes)


def _adam(lr: float) -> Optimiser:
    return functools.partial(torch.optim.AdamW, lr=lr, weight_decay=0.0)


@functools.cache
def _schooled(seed: int, seeds: int, path: str | None, corpus: str, _dtype: torch.dtype) -> nn.Module:
    """A writer that read the pool: what it saw after a sentence was, of eight others of the intent, the most alike in words."""
    world = intents(seed, seeds=seeds, path=path, corpus=corpus)
    writer, pool = copy.deepcopy(world.given_teacher), world.data.pool
    assert isinstance(writer, Writer)
    own = [(pool.y == c).nonzero().flatten() for c in range(len(world.data.classes))]
    with stream(seed, "pairs"):
        a = torch.randint(len(pool.y), (300 * 48,))
        other = torch.stack([own[int(c)][torch.randint(len(own[int(c)]), (8,))] for c in pool.y[a]])
    alike = torch.stack([(pool.x[a][:, :, None] == pool.x[b][:, None]).logical_and(pool.x[a][:, :, None] != STOP).any(2).sum(1)
                         .masked_fill((pool.x[a] == pool.x[b]).all(1), -1) for b in other.T], 1)  # fmt: skip
    b = other.gather(1, alike.argmax(1, keepdim=True)).squeeze(1)
    lines = torch.cat([writer.asked(pool.x[a], pool.y[a]), pool.x[b], torch.full_like(a, STOP)[:, None]], 1)
    y = lines[:, 1:].clone()
    y[:, : writer.longest + 1] = -1
    ended = (lines[:, writer.longest + 2 :] == STOP).cumsum(1) > 1
    y[:, writer.longest + 1 :][ended] = -1  # nothing is learned of what comes after the first stop
    part = Part(lines[:, :-1], y)
    lessons = recast(
        world, task="lm", data=Sentences(world.data.words, world.data.classes, part, part, part, part, True), batch=48
    )
    writer.lm = trained(lessons, writer.lm, 300, seed, player=Player(_adam(4e-3), cosine(300, 15)))  # type: ignore[assignment]
    return writer
