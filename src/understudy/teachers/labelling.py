"""Asking a language model about many rows, once: what it says goes to a folder, in few bytes a token.

A row is found again by what is in it (`teachers.stored.keys`), and what is drawn for it hangs on that alone, so a labelling that was killed
goes on at the next missing shard and ends in the same bytes as one that wasn't.
"""

from __future__ import annotations

import itertools
import json
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from understudy.core.batch import each
from understudy.core.errors import refuse
from understudy.core.files import write_atomically
from understudy.models.lm import evaluating
from understudy.parts import encode, pack
from understudy.parts.encode import Words
from understudy.parts.lazy import Head, Lazy
from understudy.teachers import shards
from understudy.teachers.shards import Encoding, Plan, Said, Shard
from understudy.teachers.stored import _shape, digest, keys

ROWS = 1024  # in a shard
AGAIN = "label into another folder, or as it was begun"


def fingerprint(teacher: nn.Module) -> str:
    """Of all its weights."""
    return digest(teacher.state_dict())


def label(teacher: nn.Module, rows: Iterable[Any], folder: str | os.PathLike[str], encoding: Encoding | None = None, *, batch: int = 8, shard: int = ROWS,
          share: tuple[int, int] = (0, 1), progress: Callable[[int], None] = lambda _: None) -> bool:  # fmt: skip
    """Ask a teacher that answers lazily (or a server, `teachers.Overheard`) about every row, and keep what it says; a folder that was begun is
    gone on with.

    rows: batches of x, the same rows in the same order at every call. batch: rows asked about at a time; shard: in a file.
    share=(k, n): of n processes on one folder this is the k-th; whoever is last finishes it. progress is told how many rows are done.
    Returns whether the folder is finished. Raises `Refused` where it holds something else.
    """
    encoding, rows = encoding or Encoding(), iter(rows)
    first = next(rows, None)
    if first is None:
        raise refuse("rows", [], "at least one batch")
    with torch.no_grad(), evaluating(teacher):
        heads, size, who = (), getattr(teacher, "size", 0), getattr(teacher, "address", "")
        if not who:
            answer = _answer(teacher, each(first, lambda t: t[:1]))
            heads, size, who = answer.heads if encoding.kind == "hidden" else (), answer.size, fingerprint(teacher)
        elif encoding.kind != "top-k":
            raise refuse("encoding.kind", encoding.kind, "top-k: a server tells the likeliest words, and no others", "--top-k")
        plan = Plan(who, size, _shape(first), encoding, shard)
        writer = Writer(folder, plan, heads, alone=share[1] == 1)
        done = parts = 0
        for x, key in _shards(itertools.chain([first], rows), plan):
            if parts % share[1] == share[0] and not writer.has(parts, key):
                said: list[Said] = []
                for b in range(0, len(key), batch):
                    some = slice(b, b + batch)
                    said += _say(teacher, each(x, lambda t, some=some: t[some]), key[some], encoding)  # type: ignore[misc]
                writer.write(parts, key, said)
            done, parts = done + len(key), parts + 1
            progress(done)
    return writer.finish(parts)


def _answer(teacher: nn.Module, x: Any) -> Lazy:
    weight = next(teacher.parameters(), None)
    answer = teacher(x if weight is None else each(x, lambda t: t.to(weight.device)))
    if not isinstance(answer, Lazy):
        raise refuse(
            "teacher", type(answer).__name__, "a language model, which answers lazily", "`teachers.Stored` keeps what others say"
        )
    return answer.detach()


def _say(teacher: nn.Module, x: Any, key: Tensor, e: Encoding) -> list[Said]:
    """What is kept of each of these rows."""
    if getattr(teacher, "address", ""):  # a server has said what there is to keep
        told = teacher(x)
        return list(Words.of(told.ids, told.logp).split((x["asked"] > 0).flatten(1).sum(1).tolist()))
    answer = _answer(teacher, x)
    places = [answer.shape[1]] * len(answer) if answer.asked is None else (answer.asked > 0).flatten(1).sum(1).tolist()
    flat = answer.rows()
    if e.kind == "hidden":
        whole, scale = encode.in_8_bits(flat.hidden)
        return list(zip(torch.split(whole.cpu(), places), torch.split(scale.cpu(), places), strict=True))
    at = torch.cat([k + (e.seed << 32) + torch.arange(n) * 0x5851F42D4C957F2D for k, n in zip(key, places, strict=True)]).to(
        flat.device
    )
    if e.kind == "top-k":
        said = encode.top(flat, e.size, e.t)
    else:
        said = (encode.sampled if e.kind == "samples" else encode.hybrid)(flat, e.size, at, e.t)
    return list(said.to("cpu").split(places))


def _shards(rows: Iterable[Any], plan: Plan) -> Iterator[tuple[Any, Tensor]]:
    """Different rows and their keys, so many at a time, whatever the batches."""
    seen: set[int] = set()
    waiting: list[tuple[Any, Tensor]] = []
    for x in rows:
        if _shape(x) != plan.row:
            raise refuse("rows", _shape(x), f"rows of one shape, {plan.row}", "pad them all to one length")
        key, new = keys(x).cpu(), []
        for i, k in enumerate(key.tolist()):
            if k not in seen:
                seen.add(k)
                new.append(i)
        pick = torch.tensor(new, dtype=torch.long)
        waiting.append((each(x, lambda t, pick=pick: t.cpu()[pick]), key[pick]))  # type: ignore[misc]
        while sum(len(k) for _, k in waiting) >= plan.shard:
            x, key = _joined(waiting)
            yield each(x, lambda t: t[: plan.shard]), key[: plan.shard]
            waiting = [(each(x, lambda t: t[plan.shard :]), key[plan.shard :])]
    x, key = _joined(waiting)
    if len(key):
        yield x, key


def _joined(parts: list[tuple[Any, Tensor]]) -> tuple[Any, Tensor]:
    xs = [x for x, _ in parts]
    whole = {k: torch.cat([x[k] for x in xs]) for k in xs[0]} if isinstance(xs[0], dict) else torch.cat(xs)
    return whole, torch.cat([k for _, k in parts])


class Writer:
    """Shards of a plan into a folder; also of what was said elsewhere, such as a server's top-k as `Words`.

    heads: of hidden states, the teacher's. alone: nobody else writes here now, so what a kill left half-written is swept up.
    Raises `Refused` where the folder holds something else.
    """

    def __init__(self, folder: str | os.PathLike[str], plan: Plan, heads: tuple[Head, ...] = (), *, alone: bool = True) -> None:
        self.folder, self.plan, self.told = Path(folder), plan, None
        if not 1 <= plan.size < 2**pack.WIDEST:
            raise refuse("size", plan.size, f"a vocabulary of 1 to {2**pack.WIDEST - 1} words")
        if (self.folder / "manifest.json").exists():
            self.told = shards.manifest(self.folder)
            for name, now in json.loads(json.dumps(plan.to_dict())).items():
                if self.told[name] != now:
                    raise refuse(f"label.{name}", now, f"{self.told[name]}, with which {self.folder} was begun", AGAIN)
        elif self.folder.exists() and any(p.name[0] != "." for p in self.folder.iterdir()):
            raise refuse("label.out", str(self.folder), "an empty folder, or one that was begun", AGAIN)
        else:
            write_atomically(self.folder / "manifest.json", json.dumps(plan.to_dict() | {"shards": None}, indent=1) + "\n")
        for left in self.folder.glob(".*.tmp") if alone else ():
            left.unlink(missing_ok=True)
        if heads and not (self.folder / "head.safetensors").exists():
            self._keep(heads)

    def has(self, i: int, keys: Tensor) -> bool:
        """Whether the i-th shard is there, every byte of it. Raises `Refused` where it is damaged, or of other rows."""
        path = shards.path(self.folder, i)
        if not path.exists():
            return False
        shard = Shard(path, self.plan)
        if shard.keys.tolist() != keys.tolist():
            raise refuse("label.rows", path.name, "the rows that it was written of", AGAIN)
        for row in range(len(shard.keys)):
            shard.read(row)
        return True

    def write(self, i: int, keys: Tensor, said: list[Said]) -> None:
        """The i-th shard: keys of its rows, and what was said at the places of each, in order."""
        book = None if self.plan.encoding.kind == "hidden" else self._book([w for w in said if isinstance(w, Words)])
        data = [shards.row_bytes(s, self.plan, book) for s in said]
        places = [len(s.counts if isinstance(s, Words) else s[1]) for s in said]
        shards.write_shard(shards.path(self.folder, i), self.plan, keys.cpu(), places, data)

    def finish(self, parts: int) -> bool:
        """Seal the folder, once so many shards are there; whether they are."""
        paths = [shards.path(self.folder, i) for i in range(parts)]
        if not all(p.exists() for p in paths):
            return False
        told = [Shard(p, self.plan).told for p in paths]
        if self.told is not None and self.told["shards"] not in (None, told):
            raise refuse("label.rows", f"{parts} shards", f"the {len(self.told['shards'])} that {self.folder} holds", AGAIN)
        sums = {k: sum(t[k] for t in told) for k in ("rows", "places", "bytes")}
        whole = self.plan.to_dict() | sums | {"bytes_a_place": round(sums["bytes"] / max(sums["places"], 1), 3), "shards": told}
        write_atomically(self.folder / "manifest.json", json.dumps(whole, indent=1) + "\n")
        return True

    def _keep(self, heads: tuple[Head, ...]) -> None:
        if len(heads) != 1:
            raise refuse("encoding.kind", "hidden", f"a teacher with one head; this one adds up {len(heads)}", "keep samples")
        (head,) = heads
        tensors = {"weight": head.weight} | ({} if head.bias is None else {"bias": head.bias})
        tensors = {k: t[: self.plan.size].detach().cpu().contiguous().clone() for k, t in tensors.items()}
        about = {"how": json.dumps([head.scale, head.cap, head.factor]), "digest": digest(tensors)}
        shards.write_tensors(self.folder / "head.safetensors", self.plan, tensors, about)

    def _book(self, words: list[Words]) -> pack.Book:
        """The folder's; if there is none yet, one of what is written first."""
        path = self.folder / "book.safetensors"
        if not path.exists():
            said = np.bincount(torch.cat([w.ids for w in words]).numpy(), minlength=self.plan.size)
            made = pack.Book.of(said[: self.plan.size], sum(len(w.counts) for w in words))
            tensors = {"words": torch.from_numpy(made.words).int(), "width": torch.from_numpy(made.width).byte()}
            mine = shards.write_tensors(
                path.with_name(f".{uuid.uuid4().hex}.tmp"), self.plan, tensors, {"digest": digest(tensors)}
            )
            try:
                os.link(mine, path)
            except FileExistsError:
                pass  # another process was first, and its book holds
            finally:
                mine.unlink()
        return read_book(path, self.plan)


def read_book(path: Path, plan: Plan) -> pack.Book:
    """Of a folder. Raises `Refused` where it is missing or damaged."""
    tensors, _ = shards.tensors_in(path, plan)
    return pack.Book(*(tensors[k].long().numpy() for k in ("words", "width")))
