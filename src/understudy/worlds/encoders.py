"""Encoders of a small language: a teacher pretrained on masked words and on tags, students that see masked words only.

What a student has learned is asked of its last hidden states: a linear probe reads tags off them, fitted on 40 tagged sentences.
The language has words that are noun or verb and a number that is told at the other end of the sentence ("the sheep that saw a
walk sing"), so that a word alone doesn't give its tag away. Real sentences come through `path`: CoNLL columns, the tag last, or
a labelled sentence a line, whose label is then the tag of each of its words.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core import seal
from understudy.core.batch import Batch, each
from understudy.core.errors import Sealed, refuse
from understudy.core.seeds import key, stream
from understudy.core.taps import probe
from understudy.core.world import Player, recast
from understudy.data.address import need
from understudy.parts.schedule import cosine
from understudy.parts.supernet import Space, SuperNet
from understudy.tasks import task
from understudy.worlds.rows import Rows, trained

PAD, MASK, OTHER = 0, 1, 2  # words that are none
LONGEST = 32  # tokens of a real sentence that are kept
Sentences = list[list[tuple[str, str]]]  # (word, tag)


@dataclass(frozen=True)
class Part:
    """x: input_ids and attention_mask [N, L]; y [N, L], -1 where nothing is asked."""

    x: dict[str, Tensor]
    y: Tensor


# --------------------------------------------------------------------------------------------------------------- a small language

STEMS = ["walk", "sing", "call", "play", "float", "drop", "ring", "cook", "sail", "help"]  # a noun and a verb each
SAME = ["sheep", "fish", "deer", "moose", "swine", "bison"]  # one form for one and many
ADJECTIVES = ["old", "tall", "red", "wise", "slow", "glad"]
DETERMINERS = {"sg": ["a", "this", "every"], "pl": ["these", "many", "few"], "": ["the", "my", "no"]}
ADVERBS = ["now", "here", "often"]


def _noun_phrase(chance: random.Random, number: str, role: str) -> list[tuple[str, str]]:
    """A determiner, perhaps an adjective, a noun; of an object, something tells the number."""
    noun = chance.choice(STEMS) + ("s" if number == "pl" else "") if chance.random() < 0.5 else chance.choice(SAME)
    told = role == "obj" and noun in SAME
    determiner = chance.choice(DETERMINERS[number] if told or chance.random() < 0.3 else DETERMINERS[""])
    adjective = [(chance.choice(ADJECTIVES), f"adj.{number}")] if chance.random() < 0.4 else []
    return [(determiner, f"det.{number}"), *adjective, (noun, f"{role}.{number}")]


def _sentence(chance: random.Random) -> list[tuple[str, str]]:
    """A subject, often with a clause between it and its verb; the verb agrees with the subject, not with its neighbour."""
    number, other, last = (chance.choice(("sg", "pl")) for _ in range(3))
    verb = lambda: (chance.choice(STEMS) + ("s" if number == "sg" else ""), f"verb.{number}")
    said = _noun_phrase(chance, number, "subj")
    if chance.random() < 0.5:
        said += [("that", "that"), verb(), *_noun_phrase(chance, other, "obj")]
    said += [verb()]
    if chance.random() < 0.5:
        said += _noun_phrase(chance, last, "obj")
    return said + ([(chance.choice(ADVERBS), "adv")] if chance.random() < 0.3 else []) + [(".", ".")]


def _read(path: Path) -> Sentences:
    """CoNLL columns: a word a line, its tag last, an empty line between sentences."""
    files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.suffix in (".conll", ".annotated", ".iob"))
    if not files:
        raise refuse("path", str(path), "a file of CoNLL columns, or a folder with .conll files", "a word a line, its tag last")
    said: Sentences = [[]]
    for file in files:
        labelled = _labelled(file)
        if labelled:
            said += [*labelled, []]
            continue
        for number, line in enumerate([*file.read_text(errors="replace").splitlines(), ""], 1):
            cells = line.split("\t") if "\t" in line else line.split()
            if not line.strip() or cells[0] == "-DOCSTART-":
                said += [[]] if said[-1] else []
            elif len(cells) < 2:
                raise refuse("path", f"{file}:{number}: {line}", "a word and, last, its tag", "tabs or blanks between them")
            else:
                said[-1].append((cells[0].strip().lower(), cells[-1].strip()))
    return [s[:LONGEST] for s in said if s]


def _labelled(file: Path) -> Sentences:
    """A sentence a line, a number before it and no line empty: every word carries its sentence's label. Else nothing."""
    cells = [line.split(" ") for line in file.read_text(errors="replace").splitlines()]
    if not cells or not all(len(c) > 1 and c[0].isdigit() for c in cells):
        return []
    return [[(word.lower(), label) for word in words if word.strip()] for label, *words in cells]


# -------------------------------------------------------------------------------------------------------------------------- rows


class Corpus:
    """Sentences as numbers: `train` and `valid` have masked words to be found; `few` and `check` have tags, as `test` does, which
    nothing that learns may read. `pool`, the teacher's text, asks for both, for tag t as class words + t where a word is seen."""

    def __init__(self, said: Sentences, sizes: dict[str, int], most: int, share: float, sealed: bool = False) -> None:
        self.words = ["", "[mask]", "[other]", *(w for w, _ in Counter(w for s in said for w, _ in s).most_common(most))]
        self.tags = sorted({t for s in said for _, t in s})
        number, tag = {w: i for i, w in enumerate(self.words)}, {t: i for i, t in enumerate(self.tags)}
        longest = max(map(len, said))
        ids, tags = torch.full((len(said), longest), PAD), torch.full((len(said), longest), -1)
        for i, s in enumerate(said):
            ids[i, : len(s)] = torch.tensor([number.get(w, OTHER) for w, _ in s])
            tags[i, : len(s)] = torch.tensor([tag[t] for _, t in s])
        part = dict(zip(sizes, torch.arange(len(said)).split(list(sizes.values()))))
        self._sealed, self._test = sealed, self._tagged(ids, tags, part["test"])
        self.few, self.check = (self._tagged(ids, tags, part[k]) for k in ("few", "valid"))
        self.pool, self.train, self.valid = (self._masked(ids, part[k], share, k) for k in ("pool", "train", "valid"))
        seen = (self.pool.y < 0) & (self.pool.x["attention_mask"] > 0)
        self.pool = Part(self.pool.x, torch.where(seen, tags[part["pool"]] + self.size, self.pool.y))

    @property
    def size(self) -> int:
        """Words that a network knows, one to spare among them."""
        return len(self.words) + 1

    @staticmethod
    def _tagged(ids: Tensor, tags: Tensor, pick: Tensor) -> Part:
        return Part({"input_ids": ids[pick], "attention_mask": (ids[pick] != PAD).long()}, tags[pick])

    @staticmethod
    def _masked(ids: Tensor, pick: Tensor, share: float, name: str) -> Part:
        """The same words hidden at every visit, so that a row has one answer; at least one a sentence."""
        ids = ids[pick]
        with stream("encoders", name, "mask"):
            luck = torch.rand(ids.shape).masked_fill(ids <= OTHER, 2.0)
        hidden = (luck < share) | ((luck == luck.amin(1, keepdim=True)) & (luck < 1))
        return Part(
            {"input_ids": ids.masked_fill(hidden, MASK), "attention_mask": (ids != PAD).long()}, ids.masked_fill(~hidden, -1)
        )

    @property
    def test(self) -> Part:
        seal.check("the test split of encoders")
        if self._sealed:
            raise Sealed("the test split of a small world was read")
        return self._test


SIZES = {"few": 40, "train": 1500, "valid": 300, "test": 600, "pool": 6000}
SMALL = {"few": 16, "train": 64, "valid": 16, "test": 8, "pool": 8}


@functools.cache
def corpus(small: bool, path: Path | None, few: int = SIZES["few"], harder: bool = False) -> Corpus:
    """The language, or real sentences. few: sentences with tags; harder: all sentences with tags have a clause."""
    sizes = SMALL if small else SIZES | {"few": few}
    chance = random.Random(key("encoders", "language"))
    if path is None:
        said = [_sentence(chance) for _ in range(sum(sizes.values()))]
        if harder:
            clauses = (s for s in iter(lambda: _sentence(chance), None) if ("that", "that") in s)
            at = list(itertools.accumulate(sizes.values(), initial=0))
            tagged = [i for k, i, j in zip(sizes, at, at[1:]) if k in ("few", "valid", "test") for i in range(i, j)]
            for i in tagged:
                said[i] = next(clauses)
        return Corpus(said, sizes, 200, 0.2, small)
    said = _read(path)
    chance.shuffle(said)
    need = sum(sizes.values()) - sizes["pool"]
    if len(said) < 200 and not small:
        raise refuse("path", str(path), f"200 sentences or more, it has {len(said)}", "give a larger file")
    if len(said) < need + sizes["train"]:  # fewer of everything, in the same shares; the student reads what its teacher read
        sizes = {k: max(1, len(said) * n // (need + sizes["train"])) for k, n in sizes.items() if k != "pool"}
    sizes = sizes | {"pool": 0}
    return Corpus(said, sizes | {"pool": len(said) - sum(sizes.values())}, 2000, 0.15, small)


# ---------------------------------------------------------------------------------------------------------------------- networks


class Encoder(nn.Module):
    """A BERT with a masked-word head; {input_ids, attention_mask} [N, L] -> [N, L, words]"""

    def __init__(self, words: int, length: int, width: int, depth: int, heads: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        transformers = need("transformers")
        config = transformers.BertConfig(
            vocab_size=words, max_position_embeddings=length, hidden_size=width, num_hidden_layers=depth,
            num_attention_heads=heads, intermediate_size=2 * width, type_vocab_size=1,
            hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
        )  # fmt: skip
        self.bert = transformers.BertModel(config, add_pooling_layer=False)
        self.head = nn.Linear(width, words)

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        out: Tensor = self.head(self.bert(**x).last_hidden_state)
        return out


@dataclass
class Encoders(Rows):
    """Rows are sentences with hidden words; what a network is worth is how well tags can be read off its last hidden states."""

    ridge: float = 1e-2

    def measure(self, made: nn.Module | Batch, split: Part) -> dict[str, float]:
        """Least squares from hidden states to tags on the few tagged sentences (ridge times their number), told on others."""
        assert isinstance(made, nn.Module)
        tags, few = len(self.data.tags), self.data.few
        f, y = self._states(made, few.x)[few.y >= 0], few.y[few.y >= 0]
        middle, spread = f.mean(0), f.std(0) + 1e-6
        seen = lambda f: torch.nn.functional.pad((f - middle) / spread, (0, 1), value=1.0)
        a = seen(f)
        w = torch.linalg.solve(
            a.T @ a + self.ridge * len(a) * torch.eye(a.shape[1], dtype=a.dtype), a.T @ torch.eye(tags, dtype=a.dtype)[y]
        )
        return task("tag").metrics(seen(self._states(made, split.x)) @ w, split.y)

    @staticmethod
    def _states(net: nn.Module, x: dict[str, Tensor]) -> Tensor:
        """What its last linear layer reads; -> double [N, L, D]"""
        device = next(net.parameters()).device
        found: Tensor = probe(net, "penultimate", each(x, lambda t: t.to(device)))
        return found.double().cpu()

    def validate(self, artefact: nn.Module | Batch) -> float:
        return self.measure(artefact, self.data.check)[self.metric]

    def score(self, artefact: nn.Module | Batch) -> float:
        return self.measure(artefact, self.data.test)[self.metric]


def _built(
    seed: int,
    ready: bool,
    small: bool,
    path: str | Path | None,
    student: Any,
    changes: dict[str, Any],
    batch: int = 32,
    steps: int = 300,
    depth: int = 3,
) -> Encoders:
    where = None if path is None else Path(path)
    if where is not None and not where.exists():
        raise refuse("path", str(path), "an existing file or folder", "CoNLL columns, or a labelled sentence a line")
    data = corpus(small, where)
    size = (data.size, data.train.y.shape[1])
    batch, steps = (8, 24) if small else (batch, steps)
    world = Encoders(
        seed=seed, task="tag", data=data, batch=batch, steps=steps, new_student=lambda: student(*size),
        player=Player(functools.partial(torch.optim.AdamW, lr=3e-3, weight_decay=0.01), cosine(steps, steps // 10), clip=1.0),
    )  # fmt: skip
    world.metric = "accuracy" if path is None else "f1"  # real tags are mostly "none"
    if ready:
        world.given_teacher = _teacher(seed, small, where, depth, torch.get_default_dtype())
    else:
        world.given_teacher = _unschooled(seed, small, data, depth)
    vars(world).update(changes)
    return world


def _unschooled(seed: int, small: bool, data: Corpus, depth: int) -> Encoder:
    with stream(seed, "teacher"):
        return Encoder(data.size, data.train.y.shape[1], *((32, 2) if small else (64, depth)))


@functools.cache
def _teacher(seed: int, small: bool, path: Path | None, depth: int, _dtype: torch.dtype) -> nn.Module:
    world = encoders(seed, small=small, path=path)
    data, steps = world.data, 24 if small else 500
    teacher = _unschooled(seed, small, data, depth)
    with stream(seed, "tags"):
        teacher.head = nn.Linear(teacher.head.in_features, data.size + len(data.tags))
    made = trained(recast(world, data=_Text(data), size=len(data.pool.y), batch=32), teacher, steps, seed, player=Player(
        functools.partial(torch.optim.AdamW, lr=2e-3, weight_decay=0.01), cosine(steps, steps // 10), clip=1.0))  # fmt: skip
    assert isinstance(made, Encoder)
    head = nn.Linear(made.head.in_features, data.size)  # of words alone
    head.load_state_dict({k: v[: data.size] for k, v in made.head.state_dict().items()})
    made.head = head
    return made


class _Text:
    """The teacher's text in the student's place."""

    def __init__(self, data: Corpus) -> None:
        self.train, self.valid = data.pool, data.valid


def encoders(
    seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any
) -> Encoders:
    """The world; `ready` pretrains the teacher (some seconds, once a process and seed). path: real tagged sentences."""
    width, depth = (16, 1) if small else (24, 2)
    return _built(seed, ready, small, path, lambda words, length: Encoder(words, length, width, depth), changes)


def superencoders(
    seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any
) -> Encoders:
    """The same, where the student is a network of many sizes in one."""
    space = (
        Space((1, 2), (6, 8, 10, 12, 14, 16), (2, 4), (1, 1.5, 2))
        if small
        else Space((1, 2, 3), (16, 20, 24, 32, 40, 48), (2, 3, 4, 5, 6, 7), (1, 2, 3))
    )
    return _built(
        seed, ready, small, path, lambda words, length: SuperNet(space, words, length, 4 if small else 8), changes, 16, 120
    )


def halfencoders(
    seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any
) -> Encoders:
    """The same, where the student is as wide as its teacher, with half of its blocks, and learns with BERT's dropout."""
    width, depth = (32, 1) if small else (64, 2)
    pupil = lambda words, length: Encoder(words, length, width, depth, dropout=0.1)
    return _built(seed, ready, small, path, pupil, changes, depth=2 * depth)
