"""What a language model said about many rows, as files in a folder.

    manifest.json                whose words, about what kind of rows, how they are kept; at the end, of every shard what it must be
    shard-000000.safetensors     so many rows: their keys, places, ends and checksums, and the bytes of all of them
    book.safetensors             which words are said how often, so that frequent ones take fewer bits (`parts.pack`)
    head.safetensors             of hidden states: the teacher's output layer

A file is there whole or not at all, is mapped into memory and read where it lies, row by row, and each row has its own checksum.
"""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from understudy.core.errors import Refused, refuse
from understudy.core.fields import check, choice, span
from understudy.core.files import in_order, write_atomically
from understudy.parts import encode, pack
from understudy.parts.encode import Words
from understudy.teachers.stored import digest

FORMAT = "understudy.recorded/1"
INDEX = ("keys", "places", "ends", "sums")
Hidden = tuple[Tensor, Tensor]  # of one row: states [T, H] in 8 bits, and what to multiply each by, [T]
Said = Words | Hidden


@dataclass(frozen=True)
class Encoding:
    """How what was said is kept: `samples`, so many draws a place; a `hybrid` of at most so many words; the `top-k` words; `hidden` states."""

    kind: str = choice("samples", "hybrid", "top-k", "hidden")
    size: int = span(50, 0, 2**16)  # draws, or words; nothing to hidden states
    t: float = span(1.0, 1e-2, 100)  # temperature of what is kept; nothing to hidden states, which are good for any
    seed: int = span(0, 0, 2**31)  # of the draws

    def __post_init__(self) -> None:
        check(self, "encoding")
        object.__setattr__(self, "t", float(self.t))
        if self.kind == "hidden" and (self.size, self.t) != (0, 1.0):
            raise refuse("encoding", (self.size, self.t), "no size and no temperature with hidden states", "size=0, t=1")
        if self.kind != "hidden" and not self.size:
            raise refuse("encoding.size", 0, f"1 or more for {self.kind}")

    @property
    def lot(self) -> int | None:
        """The units that most kept words have; None where none are counted."""
        return {"samples": 1, "hybrid": encode.LOT}.get(self.kind)


@dataclass(frozen=True)
class Plan:
    """What all shards of a folder have in common. teacher: `fingerprint` of its weights, or a name; size: of its vocabulary; row: kind
    and shape of one; shard: rows in a file."""

    teacher: str
    size: int
    row: Any
    encoding: Encoding
    shard: int

    def to_dict(self) -> dict[str, Any]:
        """Plain enough for JSON."""
        return {"format": FORMAT} | asdict(self)

    @classmethod
    def of(cls, told: dict[str, Any]) -> Plan:
        """Of what a manifest says."""
        return cls(told["teacher"], told["size"], told["row"], Encoding(**told["encoding"]), told["shard"])

    @property
    def digest(self) -> str:
        """The same for the same plan, on every machine."""
        return hashlib.blake2b(json.dumps(self.to_dict(), sort_keys=True).encode(), digest_size=16).hexdigest()


def manifest(folder: Path) -> dict[str, Any]:
    """What a folder says of itself. Raises `Refused` where it isn't one of ours."""
    try:
        told = json.loads((folder / "manifest.json").read_text("utf-8"))
        Plan.of(told)
        given = told["format"], told["shards"]
    except OSError:
        raise refuse("store", str(folder), "a folder with a manifest.json", "`understudy label` writes one") from None
    except (ValueError, LookupError, TypeError):
        given = ("something else", None)
    if given[0] != FORMAT:
        raise refuse("store", str(folder), f"a folder of {FORMAT}; it is {given[0]}", "label again")
    found: dict[str, Any] = told
    return found


def path(folder: Path, i: int) -> Path:
    """Of the i-th shard."""
    return folder / f"shard-{i:06d}.safetensors"


# ------------------------------------------------------------------------------------------------------------------- a row as bytes


def row_bytes(said: Said, plan: Plan, book: pack.Book | None) -> bytes:
    """What was said at the places of one row."""
    if not isinstance(said, Words):
        return said[1].float().numpy().tobytes() + said[0].numpy().tobytes()
    assert book is not None
    counts, ids, values = (t.numpy() for t in (said.counts.long(), said.ids.long(), said.values))
    if len(ids) and not 0 <= ids.min() <= ids.max() < plan.size:
        raise refuse("label.words", int(ids.max()), f"a word of the vocabulary of {plan.size}", "is it another tokenizer's?")
    if plan.encoding.lot is None:
        data, order = pack.pack(counts, ids, None, book)
        return data + values[order].astype(np.float16).tobytes()
    assert said.entropy is not None
    steps = (said.entropy.double() * (_ENTROPY / _most(plan.size))).round().clamp(0, _ENTROPY)
    return steps.numpy().astype(np.uint16).tobytes() + pack.pack(counts, ids, values.astype(np.int64), book, plan.encoding.lot)[0]


def row_said(data: bytes, places: int, plan: Plan, book: pack.Book | None, width: int = 0) -> Said:
    """The way back; width of hidden states."""
    if book is None:
        whole = np.frombuffer(data, dtype=np.int8, offset=4 * places).reshape(places, width)
        return torch.from_numpy(whole.copy()), torch.from_numpy(np.frombuffer(data, dtype=np.float32, count=places).copy())
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

    def __init__(self, path: Path, plan: Plan, must: dict[str, Any] | None = None) -> None:
        arrays, about = mapped(path, plan)
        self.path, self.data = path, arrays.get("data", np.zeros(0, np.uint8))
        index = {k: torch.from_numpy(arrays[k].copy()) for k in INDEX if k in arrays}
        sealed = digest(index)
        if len(index) < len(INDEX) or sealed != about.get("index"):
            raise damaged(path)
        self.keys, self.places, self.ends, self.sums = (index[k].numpy() for k in INDEX)
        self.told: dict[str, Any] = {
            "rows": len(self.keys),
            "places": int(self.places.sum()),
            "bytes": path.stat().st_size,
            "index": sealed,
        }
        if must not in (None, self.told) or self.ends[-1] > len(self.data):
            raise damaged(path)

    def read(self, row: int) -> bytes:
        """The bytes of a row."""
        data: bytes = self.data[self.ends[row] : self.ends[row + 1]].tobytes()
        if zlib.crc32(data) != self.sums[row]:
            raise damaged(self.path)
        return data


def write_shard(path: Path, plan: Plan, keys: Tensor, places: list[int], data: list[bytes]) -> None:
    """Rows into a file, whole or not at all."""
    ends = np.cumsum([0, *map(len, data)])
    index = {"keys": keys, "places": torch.tensor(places, dtype=torch.int32), "ends": torch.from_numpy(ends),
             "sums": torch.tensor([zlib.crc32(d) for d in data], dtype=torch.int64)}  # fmt: skip
    whole = torch.frombuffer(bytearray(b"".join(data)), dtype=torch.uint8) if ends[-1] else torch.zeros(0, dtype=torch.uint8)
    write_tensors(path, plan, index | {"data": whole}, {"index": digest(index)})


def write_tensors(path: Path, plan: Plan, tensors: dict[str, Tensor], about: dict[str, str]) -> Path:
    """A safetensors file of a plan."""
    from safetensors.torch import save

    return write_atomically(path, in_order(save(tensors, {"format": FORMAT, "plan": plan.digest} | about)))


def tensors_in(path: Path, plan: Plan) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What `write_tensors` wrote, in memory, with the digest that it was given."""
    from safetensors.torch import load_file

    _, about = mapped(path, plan)
    tensors = load_file(path)
    if digest(tensors) != about.get("digest"):
        raise damaged(path)
    return tensors, about


def mapped(path: Path, plan: Plan) -> tuple[dict[str, Any], dict[str, str]]:
    """The arrays of a safetensors file where they lie, but for kinds that numpy hasn't; and what it says of itself."""
    kinds = {"U8": np.uint8, "I8": np.int8, "I32": np.int32, "I64": np.int64, "F32": np.float32}
    try:
        raw = np.memmap(path, dtype=np.uint8, mode="r")
        begin = 8 + int.from_bytes(raw[:8].tobytes(), "little")
        header = json.loads(raw[8:begin].tobytes())
        about = header.pop("__metadata__")
        arrays = {}
        for name, t in header.items():
            a, b = (begin + x for x in t["data_offsets"])
            if b > len(raw):
                raise damaged(path)
            if t["dtype"] in kinds:
                arrays[name] = raw[a:b].view(kinds[t["dtype"]]).reshape(t["shape"])
    except FileNotFoundError:
        raise refuse(
            "store", str(path), "a file that exists", "it was deleted: delete the folder's manifest and label again"
        ) from None
    except (ValueError, LookupError, TypeError, OverflowError) as e:
        raise e if isinstance(e, Refused) else damaged(path) from None
    if about.get("plan") != plan.digest:
        raise refuse(
            "store", str(path), "a file of this folder's plan; it is of another teacher, vocabulary or encoding", "label again"
        )
    return arrays, about


def damaged(path: Path) -> Refused:
    """As an exception to be raised."""
    return refuse(
        "store",
        str(path),
        "the bytes that were written",
        "it is damaged: delete this file and run the same `understudy label` again",
    )
