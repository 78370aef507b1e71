"""Asking a teacher about many rows, once: what it says goes to a folder (`teachers.shards`), and is found there again.

A row is found by what is in it (`teachers.stored.keys`), and what is drawn for it hangs on that alone, so a labelling that was killed
goes on at the next missing shard and ends in the same bytes as one that wasn't; rows that a finished folder lacks are added to it.
"""

from __future__ import annotations

import hashlib
import inspect
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from understudy.core import devices
from understudy.core.batch import each
from understudy.core.errors import refuse
from understudy.core.taps import resolve, tap
from understudy.models.lm import evaluating
from understudy.parts import encode, pack
from understudy.parts.change import Change
from understudy.parts.encode import Words
from understudy.parts.lazy import Lazy
from understudy.teachers import shards
from understudy.teachers.columns import WORDS, Column, Value, column, finite, shape_of, spoken, taken_apart
from understudy.teachers.places import Place
from understudy.teachers.shards import Encoding, Plan, Shard
from understudy.teachers.stored import _shape, digest, keys

ROWS = 1024  # in a shard
AGAIN = "label into another folder, or as it was begun"


def fingerprint(teacher: nn.Module) -> str:
    """Of all its weights; of a teacher that has none of torch's, such as a forest, of all that is in it."""
    state = teacher.state_dict()
    if state:
        return digest(state)
    said = hashlib.blake2b(digest_size=16)
    _tell(vars(teacher), said.update, set())
    return said.hexdigest()


def _tell(value: Any, told: Callable[[bytes], None], inside: set[int]) -> None:
    """Every number and word in an object, in order."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        told(f"{value.dtype}{value.shape}".encode() + np.ascontiguousarray(value).tobytes())
    elif value is None or isinstance(value, (str, bytes, int, float, complex, np.generic)):
        told(repr(value).encode())
    elif inspect.isroutine(value) or inspect.isclass(value):
        told(f"{value.__module__}.{value.__qualname__}".encode())
    elif id(value) not in inside:
        items = (
            value.items()
            if isinstance(value, dict)
            else enumerate(value)
            if isinstance(value, (list, tuple, set, np.ndarray))
            else None
        )
        if items is None:
            state = value.__getstate__()
            items = (state if isinstance(state, dict) else {"": state}).items()
            told(type(value).__qualname__.encode())
        for key, part in items:
            told(str(key).encode())
            _tell(part, told, inside | {id(value)})


def code_of(view: Any) -> str:
    """Of what an input goes through before a model sees it: its source, its numbers and its plain settings; '' of nothing."""
    if view is None:
        return ""
    what = view if inspect.isroutine(view) else type(view)
    code = getattr(view, "__code__", None)
    told = (
        [c for c in code.co_consts if isinstance(c, (int, float, str, type(None)))] if code is not None else []
    )  # of lambdas on one line
    try:
        source = inspect.getsource(what)
    except (OSError, TypeError):
        source = f"{getattr(what, '__module__', '')}.{getattr(what, '__qualname__', what)}"
    plain = {
        k: v
        for k, v in sorted(getattr(view, "__dict__", {}).items())
        if isinstance(v, (int, float, str, tuple, type(None))) and k != "training"
    }
    numbers = view.state_dict() if isinstance(view, nn.Module) else {}
    return hashlib.blake2b(f"{source}{told}{plain}{digest(numbers)}".encode(), digest_size=8).hexdigest()


def label(teacher: nn.Module, rows: Iterable[Any], folder: str | os.PathLike[str], encoding: Encoding | None = None, *, taps: tuple[str, ...] = (),
          views: Change | None = None, code: str = "", precision: str = "no", batch: int = 8, shard: int = ROWS, share: tuple[int, int] = (0, 1),
          progress: Callable[[int], None] = lambda _: None) -> bool:  # fmt: skip
    """Ask a teacher about every row, and keep what it says; a folder that was begun is gone on with, one that is finished gets the rows it lacks.

    rows: batches of x, the same rows in the same order at every call. folder: a path, or an address that fsspec knows. taps: features that are
    kept too (see `core.taps.tap`). views: rows are {row, view} then, and the teacher sees row as that view of it shows it (`parts.views.Change`). code: of
    what the teacher's input goes through, `code_of`; precision: 'no' or 'bf16', what it computes in. batch: rows asked about at a time; shard: in a file.
    share=(k, n): of n processes on one folder this is the k-th; whoever is last finishes it. progress is told how many rows are done.
    Returns whether the folder is finished. Raises `Refused` where it holds something else, and where an answer isn't finite.
    """
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        raise refuse("rows", [], "at least one batch")
    with torch.no_grad(), evaluating(teacher):
        ask = Asker(teacher, first, encoding or Encoding(), taps=taps, views=views, code=code, precision=precision, shard=shard)
        writer = Writer(folder, ask.plan, ask.weights, alone=share[1] == 1)
        try:
            done, files = 0, []
            for i, (file, x, key) in enumerate(writer.parts(itertools.chain([first], rows))):
                if file and i % share[1] == share[0] and not writer.has(file, key):
                    writer.write(file, key, ask.all(x, key, batch))
                files += [file] if file else []
                done += len(key)
                progress(done)
            return writer.finish(files)
        finally:
            writer.place.leave()


class Asker:
    """A teacher, and how what it says about rows becomes columns. first: a batch of x, one row of which it is asked about to see what that is."""

    def __init__(self, teacher: nn.Module, first: Any, encoding: Encoding, *, taps: tuple[str, ...] = (), views: Change | None = None, code: str = "",
                 precision: str = "no", shard: int = ROWS) -> None:  # fmt: skip
        self.teacher, self.views, self.precision = teacher, views, precision
        self.weights: dict[str, Tensor] = {}
        who, one = getattr(teacher, "address", ""), each(first, lambda t: t[:1])
        if who and encoding.kind != "top-k":
            raise refuse("encoding.kind", encoding.kind, "top-k: a server tells the likeliest words, and no others", "--top-k")
        taps = (taps,) if isinstance(taps, str) else tuple(taps)
        with torch.no_grad():
            self.names = {t: resolve(teacher, t, self._on(self._seen(one, keys(one))[0])) for t in taps}
            if who:
                self.plan = Plan(who, teacher.size, _shape(first), encoding, shard)  # type: ignore[arg-type]
                return
            out, found = self._heard(one, keys(one))
        if encoding.kind in (*WORDS, "hidden"):
            said = spoken(out)
            if encoding.kind == "hidden" and not isinstance(out, Lazy):
                raise refuse(
                    "encoding.kind", "hidden", "a language model's, which answers lazily", "keep float32, float16 or int8"
                )
            size, answer = said.size, "out"
            shape = (said.hidden.shape[-1],) if encoding.kind == "hidden" else ()
            columns = {"out": Column(encoding.kind, str(said.hidden.dtype).removeprefix("torch."), shape)}
        elif isinstance(out, Lazy):
            size, answer = out.size, "lazy"
            columns = {k: column(v, encoding.kind) for k, v in _lazy_columns(out).items()}
        else:
            answer = shape_of(out, 1)
            columns = {k: column(v, encoding.kind) for k, v in taken_apart(out, answer).items()}
            size = out.shape[-1] if isinstance(out, torch.Tensor) and out.dim() == 2 else 0
        columns |= {k: column(v, encoding.aside) for k, v in found.items()}
        heads = out.heads if isinstance(out, Lazy) and encoding.kind not in WORDS else ()
        if encoding.kind == "hidden" and len(heads) != 1:
            raise refuse("encoding.kind", "hidden", f"a teacher with one head; this one adds up {len(heads)}", "keep samples")
        for i, h in enumerate(heads):
            kept = {f"weight {i}": h.weight} | ({} if h.bias is None else {f"bias {i}": h.bias})
            self.weights |= {k: t[:size].detach().cpu().contiguous().clone() for k, t in kept.items()}
        self.plan = Plan(fingerprint(teacher), size, _shape(first), encoding, shard, columns, answer, self.names, code, precision,
                         None if views is None else views.to_dict(), tuple((h.scale, h.cap, h.factor) for h in heads))  # fmt: skip

    def all(self, x: Any, key: Tensor, batch: int) -> list[dict[str, Value]]:
        """What is kept of each of these rows, asked about so many at a time; values by column."""
        said: list[dict[str, Value]] = []
        for b in range(0, len(key), batch):
            said += self(each(x, lambda t, b=b: t[b : b + batch]), key[b : b + batch])  # type: ignore[misc]
        return said

    def __call__(self, x: Any, key: Tensor) -> list[dict[str, Value]]:
        encoding = self.plan.encoding
        if getattr(self.teacher, "address", ""):  # a server has said what there is to keep
            told = self.teacher(x)
            return [{"out": w} for w in Words.of(told.ids, told.logp).split((x["asked"] > 0).flatten(1).sum(1).tolist())]
        out, found = self._heard(x, key)
        row = lambda i: f"{i} of those with the key {int(key[i]):#x}"
        columns: dict[str, Any] = dict(found)
        if encoding.kind in (*WORDS, "hidden"):
            columns["out"] = self._words(spoken(out), x, key)
            if not isinstance(out, Lazy):
                finite(out, "out", row)
        else:
            columns |= _lazy_columns(out) if isinstance(out, Lazy) else taken_apart(out, self.plan.answer)
        for name, value in columns.items():
            if not self.plan.columns[name].words:
                finite(value, name, row)
        columns = {k: v.cpu() if isinstance(v, Tensor) else v for k, v in columns.items()}
        return [{name: columns[name][i] for name in self.plan.columns} for i in range(len(key))]

    def _on(self, x: Any) -> Any:
        weight = next(self.teacher.parameters(), None)
        return x if weight is None else each(x, lambda t: t.to(weight.device))

    def _seen(self, x: Any, key: Tensor) -> tuple[Any, dict[str, Tensor]]:
        """What the teacher is to see of rows, and by which numbers."""
        if self.views is None:
            return x, {}
        view = self.views.drawn(x["row"], x["view"])
        return self.views.seen(x["row"], view), {"view": view}

    def _heard(self, x: Any, key: Tensor) -> tuple[Any, dict[str, Tensor]]:
        """The answer, and what stands beside it."""
        x, beside = self._seen(x, key)
        x = self._on(x)
        at = tuple(dict.fromkeys(n for group in self.names.values() for n in group))
        how: AbstractContextManager[Any] = nullcontext()
        if self.precision != "no":
            how = devices.autocast(next(self.teacher.parameters()).device, self.precision)
        with how:
            out, found = tap(self.teacher, at, x) if at else (self.teacher(x), ())
        return out, beside | {f"at {n}": v for n, v in zip(at, found, strict=True)}

    def _words(self, answer: Lazy, x: Any, key: Tensor) -> list[Any]:
        """Of each row, what is kept of its places."""
        e = self.plan.encoding
        flat = answer.rows()
        each_row = answer.hidden.dim() == 2  # classes: one place a row
        places = ([1] * len(answer) if each_row else [answer.shape[1]] * len(answer) if answer.asked is None
                  else (answer.asked > 0).flatten(1).sum(1).tolist())  # fmt: skip
        if e.kind == "hidden":
            whole, scale = encode.in_8_bits(flat.hidden)
            return list(zip(torch.split(whole.cpu(), places), torch.split(scale.cpu(), places), strict=True))
        at = torch.cat([k + (e.seed << 32) + torch.arange(n) * 0x5851F42D4C957F2D for k, n in zip(key, places, strict=True)])
        if e.kind == "top-k":
            said = encode.top(flat, e.size, e.t)
        else:
            said = (encode.sampled if e.kind == "samples" else encode.hybrid)(flat, e.size, at.to(flat.device), e.t)
        return list(said.to("cpu").split(places))


def _lazy_columns(out: Lazy) -> dict[str, Tensor]:
    asked = {} if out.asked is None else {"asked": out.asked}
    return {f"hidden {i}": h.hidden for i, h in enumerate(out.heads)} | asked


class Writer:
    """Shards of a plan into a folder; also of what was said elsewhere, such as a server's top-k as `Words`.

    weights: of hidden states, the layers behind them. alone: nobody else writes here now, so what a kill left half-written is swept up.
    Raises `Refused` where the folder holds something else.
    """

    def __init__(
        self, folder: str | os.PathLike[str] | Place, plan: Plan, weights: dict[str, Tensor] | None = None, *, alone: bool = True
    ) -> None:
        self.place, self.plan = folder if isinstance(folder, Place) else Place(folder), plan
        if not 0 <= plan.size < 2**pack.WIDEST or (not plan.size and any(c.words for c in plan.columns.values())):
            raise refuse("size", plan.size, f"a vocabulary of 1 to {2**pack.WIDEST - 1} words")
        sealed: list[dict[str, Any]] = []
        if self.place.has("manifest.json"):
            told = shards.manifest(self.place)
            for name, now in json.loads(json.dumps(plan.to_dict())).items():
                if told[name] != now:
                    raise refuse(f"label.{name}", now, f"{told[name]}, with which {self.place} was begun", AGAIN)
            sealed = told["shards"] or []
        elif any(name[0] != "." for name in self.place.names()):
            raise refuse("label.out", str(self.place), "an empty folder, or one that was begun", AGAIN)
        else:
            self.place.write("manifest.json", json.dumps(plan.to_dict() | {"shards": None}, indent=1) + "\n")
        if alone:
            self.place.sweep()
        there = set(self.place.names())
        self.sealed = {t["file"]: Shard(self.place, t["file"], plan, t) for t in sealed if t["file"] in there}
        self._holes = [t["file"] for t in sealed if t["file"] not in there]
        self._next = 1 + max((int(t["file"][6:-12]) for t in sealed), default=-1)
        if weights:
            self.place.write_first("head.safetensors", shards.tensor_bytes(plan, weights, {"digest": digest(weights)}))

    def parts(self, rows: Iterable[Any]) -> Iterator[tuple[str, Any, Tensor]]:
        """Different rows and their keys, a file of them at a time, whatever the batches; first, file by file, those that are there ('').

        Which file a row goes to hangs on the rows alone, so whoever asks for them again, or for a part, means the same files.
        """
        where = {int(k): file for file, shard in self.sealed.items() for k in shard.keys}
        free = itertools.chain(self._holes, (shards.name(i) for i in itertools.count(self._next)))
        again: set[str] = set()
        seen: set[int] = set()
        waiting: list[tuple[Any, Tensor]] = []
        for x in rows:
            if _shape(x) != self.plan.row:
                raise refuse("rows", _shape(x), f"rows of one shape, {self.plan.row}", "pad them all to one length")
            key, new, known = keys(x).cpu(), [], []
            for i, k in enumerate(key.tolist()):
                if k not in seen:
                    seen.add(k)
                    (known if k in where else new).append(i)
            for file in sorted({where[int(key[i])] for i in known} - again):
                again.add(file)
                self._whole(self.sealed[file])
            if known:
                yield "", None, key[torch.tensor(known)]
            pick = torch.tensor(new, dtype=torch.long)
            waiting.append((each(x, lambda t, pick=pick: t.cpu()[pick]), key[pick]))  # type: ignore[misc]
            while sum(len(k) for _, k in waiting) >= self.plan.shard:
                x, key = _joined(waiting)
                yield next(free), each(x, lambda t: t[: self.plan.shard]), key[: self.plan.shard]
                waiting = [(each(x, lambda t: t[self.plan.shard :]), key[self.plan.shard :])]
        if waiting:
            x, key = _joined(waiting)
            if len(key):
                yield next(free), x, key

    def has(self, file: str, keys: Tensor) -> bool:
        """Whether this shard is there, every byte of it. Raises `Refused` where it is damaged, or of other rows."""
        if not self.place.has(file):
            return False
        shard = Shard(self.place, file, self.plan)
        if shard.keys.tolist() != keys.tolist():
            raise refuse("label.rows", file, "the rows that it was written of", AGAIN)
        self._whole(shard)
        return True

    def write(self, file: str, keys: Tensor, said: list[Any]) -> None:
        """A shard: keys of its rows, and what was said of each, a value or values by column."""
        rows = [s if isinstance(s, dict) else {"out": s} for s in said]
        words = [v for row in rows for v in row.values() if isinstance(v, Words)]
        book = self._book(words) if words else None
        columns = self.plan.columns.items()
        shards.write_shard(
            self.place,
            file,
            self.plan,
            keys,
            [[shards.value_bytes(row[k], c, self.plan, book) for k, c in columns] for row in rows],
        )

    def finish(self, files: list[str]) -> bool:
        """Seal the folder with these new shards, once they are all there; whether they are."""
        there = set(self.place.names())
        if not there.issuperset(files):
            return False
        told = [
            self.sealed[f].told if f in self.sealed else Shard(self.place, f, self.plan).told
            for f in sorted({*self.sealed, *files})
        ]
        sums = {k: sum(t[k] for t in told) for k in ("rows", "places", "bytes")}
        whole = self.plan.to_dict() | sums | {"bytes_a_row": round(sums["bytes"] / max(sums["rows"], 1), 3),
                                              "bytes_a_place": round(sums["bytes"] / max(sums["places"], 1), 3), "shards": told}  # fmt: skip
        self.place.write("manifest.json", json.dumps(whole, indent=1) + "\n")
        return True

    @staticmethod
    def _whole(shard: Shard) -> None:
        """Every byte of it."""
        if shard.plan.fixed is not None:
            shard.block(np.arange(len(shard)))
        else:
            for row in range(len(shard)):
                shard.row(row)

    def _book(self, words: list[Words]) -> pack.Book:
        """The folder's; if there is none yet, one of what is written first."""
        if not self.place.has("book.safetensors"):
            said = np.bincount(torch.cat([w.ids for w in words]).numpy(), minlength=self.plan.size)
            made = pack.Book.of(said[: self.plan.size], sum(len(w.counts) for w in words))
            tensors = {"words": torch.from_numpy(made.words).int(), "width": torch.from_numpy(made.width).byte()}
            self.place.write_first("book.safetensors", shards.tensor_bytes(self.plan, tensors, {"digest": digest(tensors)}))
        return read_book(self.place, self.plan)


def _joined(parts: list[tuple[Any, Tensor]]) -> tuple[Any, Tensor]:
    xs = [x for x, _ in parts]
    whole = {k: torch.cat([x[k] for x in xs]) for k in xs[0]} if isinstance(xs[0], dict) else torch.cat(xs)
    return whole, torch.cat([k for _, k in parts])


def read_book(place: Place, plan: Plan) -> pack.Book:
    """Of a folder. Raises `Refused` where it is missing or damaged."""
    tensors = shards.tensors_in(place, "book.safetensors", plan)
    return pack.Book(*(tensors[k].long().numpy() for k in ("words", "width")))
