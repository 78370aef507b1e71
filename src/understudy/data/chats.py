"""Texts for language models: conversations, prompts with completions, plain text; and the rows of tokens that are made of them.

A document is a row of segments, each to be said by the model or only read. Segments are tokenised one by one, as they are when a model goes on
where a prompt ends. Documents that share a row (`pack`) don't see one another: positions begin anew with each, and models of Transformers take that
for a border.
"""

from __future__ import annotations

import bisect
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor

from understudy.core import seal
from understudy.core.batch import Views
from understudy.core.errors import refuse
from understudy.core.seeds import key, stream
from understudy.data import foreign, limits
from understudy.data.address import Address, need, parse
from understudy.data.code import library
from understudy.data.raw import SPLITS, existing, reading

SCHEMES = ("jsonl", "parquet", "hf", "text", "library")
SHARE = 0.15  # of the words that a masked language model is asked for


@dataclass(frozen=True)
class Document:
    """segments: text, and whether the model is to say it. Without a prompt it is running text, which may be cut anywhere."""

    segments: tuple[tuple[str, bool], ...]

    @property
    def running(self) -> bool:
        return len(self.segments) == 1

    @property
    def text(self) -> str:
        return "".join(s for s, _ in self.segments)


@dataclass(frozen=True)
class Reader:
    """How a model reads: its tokenizer, what kind of model it is (`models.lm.KINDS`), and with which word a decoder begins."""

    tokenizer: Any
    kind: str = "causal"
    start: int | None = None

    @property
    def pad(self) -> int:
        for name in ("pad_token_id", "eos_token_id"):
            if (found := getattr(self.tokenizer, name)) is not None:
                return int(found)
        return 0

    def same(self, other: Reader) -> bool:
        """Do both give the same words the same numbers?"""
        return bool(self.tokenizer.get_vocab() == other.tokenizer.get_vocab())

    def encode(self, document: Document) -> Encoded:
        """Its tokens; a text that begins gets the tokenizer's beginning, what a model says gets its end."""
        begin, end = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        ids, learn, ends, at, prompt = [], [], [], 0, 0
        if begin is not None and not (document.segments and document.segments[0][0].startswith(str(self.tokenizer.bos_token))):
            ids, learn, ends = [int(begin)], [False], [0]
        for text, said in document.segments:
            if said:
                prompt = len(ids)
            made = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
            ids += made["input_ids"]
            learn += [said] * len(made["input_ids"])
            starts = [a for a, _ in made["offset_mapping"][1:]] + [len(text)]
            ends += [at + b if b <= after else -1 for (_, b), after in zip(made["offset_mapping"], starts, strict=True)]
            at += len(text)
        if end is not None and document.segments[-1][1] and (not ids or ids[-1] != end):
            ids, learn, ends = [*ids, int(end)], [*learn, True], [*ends, at + 1]
        return Encoded(ids, learn, ends, prompt)


@dataclass(frozen=True)
class Encoded:
    """ids of a document; learn: is this token to be said; ends: where in the text it ends, -1 inside of a character; prompt: tokens before the last
    answer."""

    ids: list[int]
    learn: list[bool]
    ends: list[int]
    prompt: int


@dataclass(frozen=True)
class Part:
    """x: what a model reads and `asked`, where it answers, [R, L], or `Views` of it; y [R, L], -1 hidden; prompt: {input_ids, attention_mask}
    [R, P] padded on the left, what comes before the last answer; texts: of the rows' documents; alike: both models have the same words."""

    x: Any
    y: Tensor
    prompt: dict[str, Tensor] | None = None
    texts: tuple[str, ...] = ()
    alike: bool = True


@dataclass
class Chats:
    """Documents in three splits, and their rows for the models that read them; reading `test` while something learns raises `Sealed`.

    cut: documents that were longer than a row and lost their end. task, classes, kind: what other data have too.
    """

    name: str
    documents: dict[str, list[Document]]
    parts: dict[str, Part] = field(default_factory=dict)
    cut: int = 0
    task: str = "lm"
    kind: str = "text"
    classes: tuple[str, ...] = ()

    @property
    def train(self) -> Part:
        return self.parts["train"]

    @property
    def valid(self) -> Part:
        return self.parts["valid"]

    @property
    def test(self) -> Part:
        seal.check("the test split")
        return self.parts["test"]

    def fingerprint(self) -> str:
        """32 hexadecimal digits that depend on every document and its split."""
        digest = hashlib.blake2b(digest_size=16)
        for split in ("train", "valid", "test"):
            for d in self.documents[split]:
                digest.update(json.dumps([split, d.segments]).encode())
        return digest.hexdigest()


# ------------------------------------------------------------------------------------------------------------------ from a file


def load(address: str, tokenizer: Any, *, valid: float = 0.05, test: float = 0.05, seed: int = 0, limit: int = 0) -> Chats:
    """The documents at an address: `jsonl:`, `parquet:` or `hf:` and a place with rows of `messages`, of `prompt` and `completion`, or of `text`;
    `text:` and a file or folder of .txt, .md and .py; `library`, the source of Python's standard library.

    Options behind a `?`: messages, prompt, completion, text: the columns' names; most: bytes of `library`. tokenizer: whose chat template is
    used. Without splits of their own documents are dealt out by what is in them, so that equal ones never come apart.
    Raises `Refused` where a row can't be read, by its number.
    """
    at = parse(address)
    if at.scheme not in SCHEMES:
        raise refuse("data", address, f"{', '.join(SCHEMES)} and a place", "for task=lm")
    found = _documents(at, tokenizer)
    if set(found) == {"train"}:
        found = _dealt(found["train"], valid, test)
    elif missing := {"train", "valid", "test"} - set(found):
        more = _dealt(found["train"], valid if "valid" in missing else 0, test if "test" in missing else 0)
        found = found | {k: v for k, v in more.items() if k == "train" or k in missing}
    if limit:
        found["train"] = found["train"][:limit]
    for split, documents in found.items():
        if not documents:
            raise refuse("data", address, f"documents for {split}; it has none", "give more rows, or a larger share")
    return Chats(f"{at.scheme}:{Path(at.place).name}" if at.place else at.scheme, found)


def _documents(at: Address, tokenizer: Any) -> dict[str, list[Document]]:
    if at.scheme == "library":
        at.only(("most",))
        return {"train": [Document(((t, True),)) for t in library(int(at.options.get("most", 0)) or None)]}
    if at.scheme == "text":
        at.only(())
        path = existing(at.place, "text")
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.suffix in (".txt", ".md", ".py"))
        with reading(path, "UTF-8 text"):
            texts = [f.read_text("utf-8") for f in files]
        if len(texts) == 1:  # one long text is cut at its empty lines, so that there is something to deal out
            paragraphs = texts[0].split("\n\n")
            texts = ["\n\n".join(paragraphs[i : i + 20]) for i in range(0, len(paragraphs), 20)]
        return {"train": [Document(((t, True),)) for t in texts if t.strip()]}
    at.only(("messages", "prompt", "completion", "text"))
    columns = {k: at.options.get(k, k) for k in ("messages", "prompt", "completion", "text")}
    return {
        split: [document(row, tokenizer, columns, f"{at.place}:{i}") for i, row in enumerate(rows, 1)]
        for split, rows in _tables(at).items()
    }


def _tables(at: Address) -> dict[str, list[dict[str, Any]]]:
    if at.scheme == "hf":
        found = foreign.load(at.place)
        return {SPLITS[k]: list(v) for k, v in found.items() if k in SPLITS}
    path = existing(at.place, at.scheme)
    files = (
        {"train": path}
        if path.is_file()
        else {SPLITS[p.stem]: p for p in sorted(path.glob(f"*.{at.scheme}")) if p.stem in SPLITS}
    )
    if "train" not in files:
        raise refuse(at.scheme, at.place, f"a file, or a folder with train.{at.scheme}")
    return {split: rows_of(file, at.scheme) for split, file in files.items()}


def rows_of(file: Path, scheme: str) -> list[dict[str, Any]]:
    """The rows of a .jsonl or .parquet file. Raises `Refused` naming the line."""
    with reading(file, scheme):
        if scheme == "parquet":
            parquet = need("pyarrow.parquet", "pyarrow")
            limits.columns(file)
            return list(parquet.read_table(file).to_pylist())
        rows = []
        for number, line in limits.lines(file):
            try:
                rows.append(json.loads(line))
            except (ValueError, RecursionError) as e:
                raise refuse("jsonl", f"{file}:{number}", f"a JSON object ({e})", "mend or drop the line") from None
        return rows


def document(row: Any, tokenizer: Any, columns: dict[str, str], where: str) -> Document:
    """A row of any of the three forms. Raises `Refused` naming the row."""
    if not isinstance(row, dict):
        raise refuse(
            "row",
            where,
            f"an object with {columns['messages']}, {columns['prompt']} and {columns['completion']}, or {columns['text']}",
        )
    if columns["messages"] in row:
        return _chat(row[columns["messages"]], tokenizer, where)
    texts = {k: row.get(columns[k]) for k in ("prompt", "completion", "text")}
    if _text(texts["prompt"]) and _text(texts["completion"]) and texts["completion"].strip():
        return Document(((texts["prompt"], False), (texts["completion"], True)))
    if _text(texts["text"]) and texts["text"].strip():
        return Document(((texts["text"], True),))
    raise refuse("row", where, f"text in '{columns['messages']}', in '{columns['prompt']}' and '{columns['completion']}', or in '{columns['text']}'; it has "
                 f"{', '.join(map(str, row))}", "name its columns: jsonl:rows.jsonl?prompt=question&completion=answer")  # fmt: skip


def _text(value: Any) -> TypeGuard[str]:
    """JSON may hold halves of characters, which no tokenizer takes."""
    return isinstance(value, str) and value.encode("utf-8", "replace").decode() == value


def _templated(tokenizer: Any, messages: list[Any], where: str, *, prompt: bool) -> str:
    """What the tokenizer's template makes of messages, in the sandbox that Transformers keeps it in."""
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt))
    except Exception as e:  # whatever a template does
        why = f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}"
        raise refuse(
            "tokenizer.chat_template", where, f"one that writes these messages ({why})", "mend the row, or the template"
        ) from None


def _chat(messages: Any, tokenizer: Any, where: str) -> Document:
    """What the assistant says is to be learned, the rest is read; the borders are where the template puts them."""
    good = isinstance(messages, list) and all(
        isinstance(m, dict) and _text(m.get("role")) and _text(m.get("content")) for m in messages
    )
    if not good or not any(m["role"] == "assistant" for m in messages):
        raise refuse("messages", where, "a list of {role, content} with an answer of the assistant", "mend or drop the row")
    if not tokenizer.chat_template:
        raise refuse(
            "tokenizer",
            where,
            "one with a chat template, for rows of messages",
            "use rows of prompt and completion, or set its chat_template",
        )
    segments: list[tuple[str, bool]] = []
    done = ""
    for i, m in enumerate(messages):
        if m["role"] == "assistant":
            asked, said = (_templated(tokenizer, messages[: i + more], where, prompt=not more) for more in (0, 1))
            if not (asked.startswith(done) and said.startswith(asked)):
                raise refuse(
                    "messages",
                    where,
                    "a template that only adds to what was said",
                    "its turns change one another: use rows of prompt and completion",
                )
            segments += [(asked[len(done) :], False), (said[len(asked) :], True)]
            done = said
    return Document(tuple(s for s in segments if s[0]))


def _dealt(documents: Sequence[Document], valid: float, test: float) -> dict[str, list[Document]]:
    dealt: dict[str, list[Document]] = {"train": [], "valid": [], "test": []}
    order = sorted(documents, key=lambda d: key("deal", d.text))
    for d in order:
        luck = key("split", d.text) / 2**63
        dealt["test" if luck < test else "valid" if luck < test + valid else "train"].append(d)
    for split, share in (("valid", valid), ("test", test)):  # few documents: at least one of each
        if share and not dealt[split] and len(dealt["train"]) > 1:
            dealt[split].append(dealt["train"].pop())
    return dealt


# --------------------------------------------------------------------------------------------------------------------- into rows


def prepare(data: Chats, readers: dict[str, Reader], length: int, pack: bool, prompts: bool, seed: int = 0) -> Chats:
    """The same data with its rows for a student and, if there is one, a teacher: `readers` by name.

    Where both read alike they share their rows; otherwise each has its own view of the same documents, one a row, and is asked at the places where both
    have come as far in the text. length: the most tokens of a row. prompts: also make what comes before the answers.
    """
    student, teacher = readers["student"], readers.get("teacher", readers["student"])
    alike = student.same(teacher) and student.kind == teacher.kind
    packed = (
        alike and student.kind == "causal" and not prompts
    )  # running text may be cut anywhere, and rows may hold several texts
    for split, documents in data.documents.items():
        if not packed:
            documents = [piece for d in documents for piece in _pieces(d, length)]
        mine = [(d, e) for d in documents if len((e := student.encode(d)).ids) > 1]
        cut: list[int] = []
        if alike:
            x, y = _view(mine, student, length, pack and packed, seed, cut)
        else:
            x, y = _views(mine, student, teacher, length, seed, cut)
        data.cut += len(cut)
        if not bool((y >= 0).any()):
            raise refuse("data", data.name, f"something to be said within {length} tokens of a {split} row", "raise lm.length")
        texts = () if packed else tuple(d.text for d, _ in mine)
        data.parts[split] = Part(x, y, _prompts(mine, student, length) if prompts else None, texts, student.same(teacher))
    return data


def _pieces(d: Document, length: int) -> list[Document]:
    """Running text in pieces that fit a row, at three characters a token."""
    if not d.running or len(d.text) <= 3 * length:
        return [d]
    return [Document(((d.text[i : i + 3 * length], True),)) for i in range(0, len(d.text), 3 * length)]


Said = list[tuple[Document, Encoded]]
Rows = tuple[dict[str, Tensor], Tensor]


def _view(said: Said, reader: Reader, length: int, pack: bool, seed: int, cut: list[int]) -> Rows:
    """What a model of this kind reads, and what it is asked; notes in `cut` the documents that were longer."""
    if reader.kind == "masked":
        return _masked([d for d, _ in said], reader, length, seed)
    if reader.kind == "seq2seq":
        return _seq2seq(said, reader, length, cut)
    items: list[Encoded] = []
    for i, (d, e) in enumerate(said):
        cut += [i] if len(e.ids) - 1 > length and not (pack and d.running) else []
        starts = range(0, len(e.ids) - 1, length) if d.running and pack else (0,)
        items += [Encoded(e.ids[a : a + length + 1], e.learn[a : a + length + 1], [], 0) for a in starts]
    bins = _packed([len(e.ids) - 1 for e in items], length) if pack else [[i] for i in range(len(items))]
    longest = length if pack else max(len(e.ids) - 1 for e in items)
    ids, places, y = (torch.full((len(bins), longest), v) for v in (reader.pad, 0, -1))
    for row, members in enumerate(bins):
        at = 0
        for e in (items[i] for i in members):
            n = len(e.ids) - 1
            ids[row, at : at + n] = torch.tensor(e.ids[:-1])
            places[row, at : at + n] = torch.arange(n)
            y[row, at : at + n] = torch.tensor([t if learn else -1 for t, learn in zip(e.ids[1:], e.learn[1:], strict=True)])
            at += n
        places[row, at:] = torch.arange(longest - at)  # padding is a text by itself
    return {"input_ids": ids, "position_ids": places, "asked": y >= 0}, y


def _packed(sizes: list[int], length: int) -> list[list[int]]:
    """Which items share a row: the largest first, each where the least room is left that is enough."""
    rooms: list[tuple[int, int]] = []  # room left, row
    bins: list[list[int]] = []
    for i in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        k = bisect.bisect_left(rooms, (sizes[i], -1))
        if k == len(rooms):
            bins.append([i])
            bisect.insort(rooms, (length - sizes[i], len(bins) - 1))
        else:
            room, row = rooms.pop(k)
            bins[row].append(i)
            bisect.insort(rooms, (room - sizes[i], row))
    return bins


def _padded(rows: Iterable[list[int]], pad: int, left: bool = False) -> tuple[Tensor, Tensor]:
    """-> ids and 0/1 of what is real, [R, L]"""
    rows = list(rows)
    ids = torch.full((len(rows), max(map(len, rows), default=1) or 1), pad)
    real = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        at = slice(ids.shape[1] - len(row), None) if left else slice(0, len(row))
        ids[i, at], real[i, at] = torch.tensor(row, dtype=torch.long), 1
    return ids, real


def _masked(documents: list[Document], reader: Reader, length: int, seed: int) -> Rows:
    """15 % of the words are asked for, 80 % of them hidden and 10 % changed (Devlin et al. 2019), the same at every visit."""
    mask = reader.tokenizer.mask_token_id
    if mask is None:
        raise refuse("tokenizer", type(reader.tokenizer).__name__, "one with a mask token, for a masked language model")
    texts = [reader.tokenizer(d.text, truncation=True, max_length=length, verbose=False)["input_ids"] for d in documents]
    ids, real = _padded(texts, reader.pad)
    special = torch.isin(ids, torch.tensor(reader.tokenizer.all_special_ids)) | (real == 0)
    with stream("chats", seed, "mask"):
        luck, how, other = (
            torch.rand(ids.shape).masked_fill(special, 2.0),
            torch.rand(ids.shape),
            torch.randint(len(reader.tokenizer), ids.shape),
        )
    asked = ((luck < SHARE) | (luck == luck.amin(1, keepdim=True))) & ~special
    seen = torch.where(asked & (how < 0.8), mask, torch.where(asked & (how >= 0.9), other, ids))
    return {"input_ids": seen, "attention_mask": real, "asked": asked}, ids.masked_fill(~asked, -1)


def _seq2seq(said: Said, reader: Reader, length: int, cut: list[int]) -> Rows:
    """The encoder reads what comes before the last answer, the decoder says it."""
    if any(d.running for d, _ in said):
        raise refuse("data", "running text", "prompts with completions, or messages, for an encoder-decoder model")
    cut += [i for i, (_, e) in enumerate(said) if max(e.prompt, len(e.ids) - e.prompt) > length]
    seen, real = _padded((e.ids[: e.prompt][-length:] for _, e in said), reader.pad)
    answer, there = _padded((e.ids[e.prompt :][:length] for _, e in said), reader.pad)
    start = torch.full_like(answer[:, :1], reader.pad if reader.start is None else reader.start)
    x = {
        "input_ids": seen,
        "attention_mask": real,
        "decoder_input_ids": torch.cat([start, answer[:, :-1]], 1),
        "asked": there > 0,
    }
    return x, answer.masked_fill(there == 0, -1)


def _views(said: Said, student: Reader, teacher: Reader, length: int, seed: int, cut: list[int]) -> tuple[Views, Tensor]:
    """Each model's own view, asked where both have come as far: after the same characters, or, where the words are the same, the same answer's words.

    Of two vocabularies also `span` [R, L]: which stretch of text between two such places the next token belongs to (-1: none that both have), and
    each one's `next` token.
    """
    kinds, alike = {student.kind, teacher.kind}, student.same(teacher)
    if "masked" in kinds or ("seq2seq" in kinds and not alike):
        raise refuse(
            "teacher",
            teacher.kind,
            f"one that can be asked at the places of a {student.kind} student",
            "two causal models, or one tokenizer",
        )
    its = [(d, teacher.encode(d)) for d, _ in said]
    x, y = _view(said, student, length, False, seed, cut)
    u, v = _view(its, teacher, 2 * length, False, seed, [])
    asked, heard = torch.zeros_like(x["asked"]), torch.zeros_like(u["asked"])
    spans, its_spans = torch.full_like(y, -1), torch.full_like(v, -1)
    for i, ((_, e), (_, o)) in enumerate(zip(said, its, strict=True)):
        pairs = _answers(e, student, o, teacher) if alike else _ends(e, o)
        for k, (a, b) in enumerate(pairs):
            if a < asked.shape[1] and b < heard.shape[1] and y[i, a] >= 0:
                asked[i, a] = heard[i, b] = True
            if (
                k + 1 < len(pairs)
                and bool((y[i, a : pairs[k + 1][0]] >= 0).all())
                and pairs[k + 1][0] <= y.shape[1]
                and pairs[k + 1][1] <= v.shape[1]
            ):
                spans[i, a : pairs[k + 1][0]] = its_spans[i, b : pairs[k + 1][1]] = k
    own = {} if alike else {"span": spans, "next": y}
    other = {} if alike else {"span": its_spans, "next": v}
    return Views(student=x | {"asked": asked} | own, teacher=u | {"asked": heard} | other), y


def _ends(e: Encoded, o: Encoded) -> list[tuple[int, int]]:
    """Places after which both have read the same characters."""
    mine, its = ({at: i for i, at in enumerate(z.ends)} for z in (e, o))
    return [(mine[at], its[at]) for at in sorted(mine.keys() & its.keys()) if at >= 0]


def _answers(e: Encoded, student: Reader, o: Encoded, teacher: Reader) -> list[tuple[int, int]]:
    """Where each says the k-th word of the last answer: a decoder behind an encoder at its k-th place."""
    first = [0 if r.kind == "seq2seq" else z.prompt - 1 for r, z in ((student, e), (teacher, o))]
    return [(first[0] + k, first[1] + k) for k in range(len(e.ids) - e.prompt) if min(first) + k >= 0]


def _prompts(said: Said, reader: Reader, length: int) -> dict[str, Tensor]:
    """What comes before the last answer, the last `length` tokens of it; of running text its first quarter."""
    rows = [e.ids[: max(1, len(e.ids) // 4)] if d.running else e.ids[: e.prompt][-length:] for d, e in said]
    ids, real = _padded((r[-length:] for r in rows), reader.pad, left=True)
    return {"input_ids": ids, "attention_mask": real}
