"""What a teacher said about many rows, as files in a folder.

    manifest.json                whose words, about what kind of rows, seen how, kept how; at the end, of every shard what it must be
    shard-000000.safetensors     so many rows: their keys and checksums, and the bytes of all of them
    book.safetensors             of words: which are said how often, so that frequent ones take fewer bits (`parts.pack`)
    head.safetensors             of a language model's hidden states: its output layer

A row is its columns one behind the other (`teachers.columns`). Where all rows have as many bytes they lie like a matrix; else a shard also tells
where each begins. A file is there whole or not at all, is mapped into memory and read where it lies, row by row, and each row has its own checksum.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import math
import re
import zlib
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from understudy.core.errors import Refused, refuse
from understudy.core.fields import check, choice, span
from understudy.core.files import in_order
from understudy.parts import encode, pack
from understudy.parts.encode import Words
from understudy.teachers.columns import DENSE, Column, Shape, Value
from understudy.teachers.places import Place
from understudy.teachers.stored import digest, keys

FORMAT = "understudy.store/2"
_NAME = re.compile(r"shard-\d{6,12}\.safetensors")


@dataclass(frozen=True)
class Encoding:
    """How what was said is kept. Of words: `samples`, so many draws a place; a `hybrid` of at most so many words; the `top-k` words. Of a language
    model: `hidden` states in 8 bits, at the places that are asked for. Of anything: `float32`, `float16` or `int8`, one scale for a vector, or for each channel or place of what is more."""

    kind: str = choice("samples", "hybrid", "top-k", "hidden", *DENSE)
    size: int = span(50, 0, 2**16)  # draws, or words; nothing to other kinds
    t: float = span(1.0, 1e-2, 100)  # temperature of what is kept; nothing to the other kinds, which are good for any
    seed: int = span(0, 0, 2**31)  # of the draws

    def __post_init__(self) -> None:
        if self.kind in ("hidden", *DENSE) and self.size == Encoding.size:
            object.__setattr__(self, "size", 0)
        check(self, "encoding")
        object.__setattr__(self, "t", float(self.t))
        if self.kind in ("hidden", *DENSE) and (self.size, self.t) != (0, 1.0):
            raise refuse("encoding", (self.size, self.t), f"no size and no temperature with {self.kind}", "size=0, t=1")
        if self.kind not in ("hidden", *DENSE) and not self.size:
            raise refuse("encoding.size", 0, f"1 or more for {self.kind}")

    @property
    def lot(self) -> int | None:
        """The units that most kept words have; None where none are counted."""
        return {"samples": 1, "hybrid": encode.LOT}.get(self.kind)

    @property
    def aside(self) -> str:
        """How what stands beside the answer is kept: features, parameters."""
        return self.kind if self.kind in DENSE else "float32"


@dataclass(frozen=True)
class Plan:
    """What all shards of a folder have in common, and so what a store is refused by where it doesn't fit.

    teacher: `fingerprint` of its weights, or a name. size: of its vocabulary, or classes; 0 where nothing is a word. row: kind and shape of one.
    encoding, columns, answer: how what is kept of a row, in what shape it was said. taps: which features are kept, by the names they were asked by.
    code: of what the teacher's input goes through first. precision: it was computed in. views: how rows were changed before it saw them.
    heads: of hidden states, how many layers give the logits, and scale, cap and factor of each. shard: rows in a file.
    """

    teacher: str
    size: int
    row: Any
    encoding: Encoding
    shard: int
    columns: dict[str, Column] = field(default_factory=dict)
    answer: Shape = "out"
    taps: dict[str, tuple[str, ...]] = field(default_factory=dict)
    code: str = ""
    precision: str = "no"
    views: dict[str, Any] | None = None
    heads: tuple[tuple[Any, ...], ...] = ()

    def __post_init__(self) -> None:
        if not self.columns:
            object.__setattr__(self, "columns", {"out": Column(self.encoding.kind, "float32", ())})

    def to_dict(self) -> dict[str, Any]:
        """Plain enough for JSON."""
        return {"format": FORMAT} | asdict(self) | {"columns": {k: c.to_dict() for k, c in self.columns.items()}}

    @classmethod
    def of(cls, told: dict[str, Any]) -> Plan:
        """Of what a manifest says."""
        given = {k: told[k] for k in ("teacher", "size", "row", "shard", "answer", "code", "precision", "views")}
        return cls(**given, encoding=Encoding(**told["encoding"]), columns={k: Column.of(c) for k, c in told["columns"].items()},
                   taps={k: tuple(v) for k, v in told["taps"].items()}, heads=tuple(map(tuple, told["heads"])))  # fmt: skip

    @property
    def digest(self) -> str:
        """The same for the same plan, on every machine."""
        return hashlib.blake2b(json.dumps(self.to_dict(), sort_keys=True).encode(), digest_size=16).hexdigest()

    @functools.cached_property
    def fixed(self) -> int | None:
        """Bytes of a row where all have as many, else None."""
        columns = self.columns.values()
        return None if any(c.words or c.ragged for c in columns) else sum(c.size() for c in columns)


def manifest(place: Place) -> dict[str, Any]:
    """What a folder says of itself. Raises `Refused` where it isn't one of ours."""
    try:
        told = json.loads(place.read("manifest.json").decode("utf-8"))
        given = told["format"], told["shards"]
        if given[0] == FORMAT:
            Plan.of(told)
            if not all(_NAME.fullmatch(t["file"]) for t in told["shards"] or ()):
                raise ValueError("names of shards")
    except OSError:
        raise refuse("store", str(place), "a folder with a manifest.json", "`understudy label` writes one") from None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        given = ("something else", None)
    if given[0] != FORMAT:
        raise refuse("store", str(place), f"a folder of {FORMAT}; it is {given[0]}", "label again")
    found: dict[str, Any] = told
    return found


def name(i: int) -> str:
    """Of the i-th shard."""
    return f"shard-{i:06d}.safetensors"


# ------------------------------------------------------------------------------------------------------------------- a value as bytes


def value_bytes(said: Value, column: Column, plan: Plan, book: pack.Book | None) -> tuple[int, bytes]:
    """How many places a value has, and its bytes."""
    if isinstance(said, tuple):
        return len(said[1]), said[1].float().numpy().tobytes() + said[0].numpy().tobytes()
    if not isinstance(said, Words):
        return (len(said) if column.ragged else 1), column.pack(said)
    assert book is not None
    counts, ids, values = (t.numpy() for t in (said.counts.long(), said.ids.long(), said.values))
    if len(ids) and not 0 <= ids.min() <= ids.max() < plan.size:
        raise refuse("label.words", int(ids.max()), f"a word of the vocabulary of {plan.size}", "is it another tokenizer's?")
    if plan.encoding.lot is None:
        data, order = pack.pack(counts, ids, None, book)
        return len(counts), data + values[order].astype(np.float16).tobytes()
    assert said.entropy is not None
    steps = (said.entropy.double() * (_ENTROPY / _most(plan.size))).round().clamp(0, _ENTROPY)
    packed = pack.pack(counts, ids, values.astype(np.int64), book, plan.encoding.lot)[0]
    return len(counts), steps.numpy().astype(np.uint16).tobytes() + packed


def value_said(data: bytes, places: int, column: Column, plan: Plan, book: pack.Book | None) -> Value:
    """The way back."""
    if column.kind == "hidden":
        whole = np.frombuffer(data, dtype=np.int8, offset=4 * places).reshape(places, *column.shape)
        return torch.from_numpy(whole.copy()), torch.from_numpy(np.frombuffer(data, dtype=np.float32, count=places).copy())
    if not column.words:
        return column.unpack(np.frombuffer(bytearray(data), dtype=np.uint8)[None], 1, places)[0]
    assert book is not None
    if plan.encoding.lot is None:
        counts, ids, _ = pack.unpack(data, places, book, None)
        logp = np.frombuffer(data[len(data) - 2 * len(ids) :], dtype=np.float16)
        return Words(*(torch.from_numpy(a) for a in (counts, ids, logp.astype(np.float32))))
    counts, ids, units = pack.unpack(data[2 * places :], places, book, plan.encoding.lot)
    assert units is not None
    entropy = np.frombuffer(data, dtype=np.uint16, count=places).astype(np.float32) * (_most(plan.size) / _ENTROPY)
    return Words(*(torch.from_numpy(a) for a in (counts, ids, units, entropy)))


_ENTROPY = 2**16 - 1  # steps from 0 to the largest there can be


def _most(size: int) -> float:
    return math.log(max(size, 2))


# ------------------------------------------------------------------------------------------------------------------------- files


class Shard:
    """A file of rows, mapped into memory. must: what the manifest says of it. Raises `Refused` where it isn't what was written."""

    def __init__(self, place: Place, file: str, plan: Plan, must: dict[str, Any] | None = None) -> None:
        arrays, about, size = mapped(place, file, plan)
        self.plan, self.where, self.data = plan, place / file, arrays.pop("data", np.zeros(0, np.uint8))
        index = {k: torch.from_numpy(v.copy()) for k, v in arrays.items()}
        needed = ("keys", "sums") if plan.fixed is not None else ("keys", "sums", "places", "ends")
        sealed = digest(index)
        if set(index) != set(needed) or sealed != about.get("index"):
            raise damaged(self.where)
        self.keys, self.sums = index["keys"].numpy(), index["sums"].numpy()
        rows = len(self.keys)
        if plan.fixed is None:
            self.places, self.ends = index["places"].numpy(), index["ends"].numpy()
            whole, places = int(self.ends[-1]), int(self.places[:, 0].sum())
        else:
            whole, places = rows * plan.fixed, rows
        self.told: dict[str, Any] = {"file": file, "rows": rows, "places": places, "bytes": size, "index": sealed}
        if must not in (None, self.told) or whole != len(self.data):
            raise damaged(self.where)
        self._sound = np.zeros(rows, dtype=bool)
        self._matrix = None if plan.fixed is None else self.data.reshape(rows, plan.fixed)

    def __len__(self) -> int:
        return len(self.keys)

    def block(self, rows: Any) -> Any:
        """Bytes of rows of one size, uint8 [n, bytes]; each is checked when it is first read."""
        assert self._matrix is not None
        found = self._matrix[rows]
        if not self._sound[rows].all():
            new = ~self._sound[rows]
            seen = found if new.all() else found[new]
            if not np.array_equal(keys(torch.from_numpy(seen)).numpy(), self.sums[rows[new]]):
                raise damaged(self.where)
            self._sound[rows[new]] = True
        return found

    def row(self, row: int) -> list[tuple[int, bytes]]:
        """Places and bytes of each column of a row."""
        n = len(self.plan.columns)
        cuts = self.ends[row * n : row * n + n + 1]
        if not self._sound[row]:
            if zlib.crc32(self.data[cuts[0] : cuts[-1]]) != self.sums[row]:
                raise damaged(self.where)
            self._sound[row] = True
        return [(int(p), self.data[a:b].tobytes()) for p, (a, b) in zip(self.places[row], itertools.pairwise(cuts), strict=True)]


def write_shard(place: Place, file: str, plan: Plan, asked: Tensor, said: list[list[tuple[int, bytes]]]) -> None:
    """Rows, each as the places and bytes of its columns, into a file, whole or not at all."""
    data = [b"".join(part for _, part in row) for row in said]
    joined = b"".join(data)
    whole = torch.frombuffer(bytearray(joined), dtype=torch.uint8) if joined else torch.zeros(0, dtype=torch.uint8)
    if plan.fixed is not None:  # all rows at once, here and when they are read
        index = {"keys": asked.cpu(), "sums": keys(whole.view(len(data), plan.fixed))}
    else:
        index = {"keys": asked.cpu(), "sums": torch.tensor([zlib.crc32(d) for d in data])}
        index["places"] = torch.tensor([[places for places, _ in row] for row in said], dtype=torch.int32)
        index["ends"] = torch.from_numpy(np.cumsum([0, *(len(part) for row in said for _, part in row)]))
    place.write(file, tensor_bytes(plan, index | {"data": whole}, {"index": digest(index)}))


def tensor_bytes(plan: Plan, tensors: dict[str, Tensor], about: dict[str, str]) -> bytes:
    """A safetensors file of a plan."""
    from safetensors.torch import save

    return in_order(save(tensors, {"format": FORMAT, "plan": plan.digest} | about))


def tensors_in(place: Place, file: str, plan: Plan) -> dict[str, Tensor]:
    """What was written with a digest, in memory."""
    from safetensors.torch import load

    _, about, _ = mapped(place, file, plan)
    tensors = load(place.read(file))
    if digest(tensors) != about.get("digest"):
        raise damaged(place / file)
    return tensors


def mapped(place: Place, file: str, plan: Plan) -> tuple[dict[str, Any], dict[str, str], int]:
    """The arrays of a safetensors file where they lie, but for kinds that numpy hasn't; what it says of itself; its size in bytes."""
    kinds = {"U8": np.uint8, "I8": np.int8, "I32": np.int32, "I64": np.int64, "F32": np.float32}
    where = place / file
    try:
        raw = place.bytes(file)
        begin = 8 + int.from_bytes(raw[:8].tobytes(), "little")
        header = json.loads(raw[8:begin].tobytes())
        about = header.pop("__metadata__")
        if not isinstance(about, dict):
            raise damaged(where)
        arrays, until = {}, begin
        for key, t in header.items():
            a, b = (begin + x for x in t["data_offsets"])
            if not begin <= a <= b <= len(raw):
                raise damaged(where)
            until = max(until, b)
            if t["dtype"] in kinds:
                arrays[key] = raw[a:b].view(kinds[t["dtype"]]).reshape(t["shape"])
        if until != len(raw):
            raise damaged(where)
    except FileNotFoundError:
        raise refuse("store", where, "a file that exists", "it was deleted: run the same `understudy label` again") from None
    except (ValueError, LookupError, TypeError, OverflowError, AttributeError, RecursionError) as e:
        raise e if isinstance(e, Refused) else damaged(where) from None
    if about.get("plan") != plan.digest:
        raise refuse(
            "store", where, "a file of this folder's plan; it is of another teacher, vocabulary or encoding", "label again"
        )
    return arrays, about, len(raw)


def damaged(where: str) -> Refused:
    """As an exception to be raised."""
    return refuse(
        "store", where, "the bytes that were written", "it is damaged: delete this file and run the same `understudy label` again"
    )
