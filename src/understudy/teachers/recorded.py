"""A teacher that answers from a folder: what it said when it was asked about every row, once (`teachers.labelling`)."""

from __future__ import annotations

import copy
import os
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from understudy.core.batch import rows_in
from understudy.core.errors import Refused, nearest, refuse
from understudy.parts.change import Change
from understudy.parts.encode import Words
from understudy.parts.lazy import Head, Lazy
from understudy.teachers import shards
from understudy.teachers.columns import put_together
from understudy.teachers.labelling import fingerprint, read_book
from understudy.teachers.places import Place
from understudy.teachers.shards import Plan, Shard
from understudy.teachers.stored import _shape, keys

STILL = -1  # the number of a view that is the row as it is
SMALL = 2**26  # bytes of a store that is read and unpacked whole, since that is the fastest


class Recorded(nn.Module):
    """x -> what the teacher said about these rows, in the form that it was said or kept in: logits, `Lazy`, `Samples`, `TopK`, boxes, features.

    folder: a path, or an address that fsspec knows. model: the teacher itself, where it is at hand, whose words these must be; it is kept beside and
    never asked. code, precision, views: what it must have been asked with, where that is known. unfinished: a folder that somebody still writes to will
    do; what is there is read, and looked for again when a row is missing.
    Raises `Refused`, naming what differs, where the folder isn't finished, is damaged, or holds other words; and when asked about a row that isn't in it.
    """

    def __init__(self, folder: str | os.PathLike[str], model: nn.Module | None = None, *, code: str | None = None, precision: str | None = None,
                 views: Change | None = None, unfinished: bool = False) -> None:  # fmt: skip
        super().__init__()
        self.place = Place(folder)
        told = shards.manifest(self.place)
        self.plan, self.unfinished = Plan.of(told), unfinished
        if told["shards"] is None and not unfinished:
            raise refuse(
                "store",
                str(self.place),
                "a folder that is finished",
                "run the same `understudy label` again: it goes on where it was",
            )
        self.fits(model, code=code, precision=precision, views=views)
        self._book = None
        if self.plan.heads:
            for name, t in shards.tensors_in(self.place, "head.safetensors", self.plan).items():
                self.register_buffer(name, t, persistent=False)
        self.eval()
        self._shards: dict[str, Shard] = {}
        self._look(told["shards"])

    def fits(
        self, model: nn.Module | None, *, code: str | None = None, precision: str | None = None, views: Change | None = None
    ) -> None:
        """Raises `Refused` where these aren't the words of this model, asked in this way."""
        vars(self)["model"] = model  # beside, not inside: it isn't moved or trained with this
        size = getattr(model, "size", self.plan.size)
        where, again = str(self.place), "label again, or give that teacher"
        if size != self.plan.size:
            raise refuse(
                "store", where, f"a vocabulary of {size}; it holds one of {self.plan.size}", "is it another tokenizer's?"
            )
        if model is not None and fingerprint(model) != self.plan.teacher:
            raise refuse("store.teacher", where, "the words of this teacher; it holds those of other weights", again)
        for name, now, then in (("code", code, self.plan.code), ("precision", precision, self.plan.precision),
                                ("views", None if views is None else views.to_dict(), self.plan.views)):  # fmt: skip
            if now is not None and now != then:
                told = {"code": "what goes before the teacher (normalisation, size) is another now", "precision": f"it was asked in precision {then!r}, now {now!r}",
                        "views": f"rows were changed by {then}, now by {now}"}[name]  # fmt: skip
                raise refuse(
                    f"store.{name}", where, f"what was said under the same {name}; {told}", "label again, or set it as it was"
                )

    @property
    def views(self) -> Change | None:
        """How rows were changed before the teacher saw them."""
        return None if self.plan.views is None else Change(**self.plan.views)

    def __len__(self) -> int:
        """Different rows (and views of them)."""
        return len(self._keys)

    def forward(self, x: Any) -> Any:
        return self.read((), x)[0]

    def read(self, at: tuple[str, ...], x: Any) -> tuple[Any, tuple[Tensor, ...]]:
        """The answer, and what was tapped at these names."""
        for name in at:
            if name not in self.plan.taps:
                raise refuse("tap", name, f"a name that was kept: {', '.join(self.plan.taps) or 'none'}{nearest(name, self.plan.taps)}", "label the rows again with --taps")  # fmt: skip
        x = self._as_asked(x)
        names = [n for name in at for n in self.plan.taps[name]]
        found = self._columns(
            self._found(x), {f"at {n}" for n in names} | {k for k in self.plan.columns if not k.startswith("at ") and k != "view"}
        )
        device = _device(x)
        found = {k: _to(v, device) for k, v in found.items()}
        return self._answer(found, rows_in(x)), tuple(found[f"at {n}"] for n in names)

    def seen(self, x: Tensor, number: Tensor) -> Tensor:
        """The six numbers by which the teacher saw these rows' views (`parts.views.Change`); [N, C, H, W], [N] -> [N, 6]"""
        view: Tensor = self._columns(self._found({"row": x, "view": number}), {"view"})["view"]
        return view.to(x.device)

    def missing(self, x: Any) -> int:
        """How many of these rows it was never asked about; only their keys are looked at."""
        return self._unknown(_keys(self._as_asked(x)))

    def _as_asked(self, x: Any) -> Any:
        """Rows as they are, where views were asked about."""
        if self.plan.views is not None and not (isinstance(x, dict) and "view" in x):
            x = {"row": x, "view": torch.full((rows_in(x),), STILL, device=_device(x))}
        if _shape(x) != self.plan.row:
            raise refuse(
                "rows",
                _shape(x),
                f"rows as they were labelled, {self.plan.row}; it was never asked about others",
                "label them as they are now",
            )
        return x

    def _look(self, told: list[dict[str, Any]] | None) -> None:
        """Take in the shards that are there."""
        musts = {t["file"]: t for t in told or ()}
        files = list(musts)
        if self.unfinished:
            files += [n for n in self.place.names() if n.startswith("shard-") and n not in musts]
        for file in files:
            if file not in self._shards:
                self._shards[file] = Shard(self.place, file, self.plan, musts.get(file))
        held = list(self._shards.values())
        if held and any(c.words and c.kind != "hidden" for c in self.plan.columns.values()) and self._book is None:
            self._book = read_book(self.place, self.plan)
        found = np.concatenate([s.keys for s in held]) if held else np.zeros(0, np.int64)
        self._order = np.argsort(found, kind="stable")
        self._keys = found[self._order]
        self._of = np.repeat(np.arange(len(held)), [len(s) for s in held])[self._order] if held else self._order
        self._row = (np.concatenate([np.arange(len(s)) for s in held]) if held else found)[self._order]
        small = self.plan.fixed is not None and 0 < len(found) * self.plan.fixed <= SMALL
        self._whole = self._unpacked(self._block(np.arange(len(found))), set(self.plan.columns)) if small else None

    def _places(self, asked: Any) -> Any:
        return np.minimum(np.searchsorted(self._keys, asked), len(self._keys) - 1)

    def _found(self, x: Any) -> Any:
        """Of each row, which one of the folder it is."""
        asked = _keys(x)
        if self.unfinished and self._unknown(asked):
            self._look(shards.manifest(self.place)["shards"])
        place = self._places(asked)
        if not len(self._keys) or not np.array_equal(self._keys[place], asked):
            raise Refused(f"the stored teacher was never asked about such a row ({self._unknown(asked)} of {len(asked)}): label it first, or "
                          "use a live teacher")  # fmt: skip
        return place

    def _unknown(self, asked: Any) -> int:
        return int((self._keys[self._places(asked)] != asked).sum()) if len(self._keys) else len(asked)

    def _columns(self, place: Any, wanted: set[str]) -> dict[str, Any]:
        """What is kept of these rows, by column."""
        columns = self.plan.columns
        if self._whole is not None:
            rows = torch.from_numpy(place)
            return {name: self._whole[name].index_select(0, rows) for name in columns if name in wanted}
        if self.plan.fixed is not None:
            return self._unpacked(self._block(place), wanted)
        held = list(self._shards.values())
        said = [held[i].row(int(r)) for i, r in zip(self._of[place], self._row[place], strict=True)]
        found = {}
        for i, (name, c) in enumerate(columns.items()):
            if name in wanted:
                values = [shards.value_said(r[i][1], r[i][0], c, self.plan, self._book) for r in said]
                found[name] = values if c.ragged or c.words else torch.stack(values)  # type: ignore[arg-type]
        return found

    def _unpacked(self, block: Any, wanted: set[str]) -> dict[str, Any]:
        """The columns of rows of one size, uint8 [n, bytes]."""
        found, begin = {}, 0
        for name, c in self.plan.columns.items():
            if name in wanted:
                found[name] = c.unpack(block[:, begin : begin + c.size()], len(block))
            begin += c.size()
        return found

    def _block(self, place: Any) -> Any:
        """Bytes of rows of one size, uint8 [n, bytes]."""
        held, of, row = list(self._shards.values()), self._of[place], self._row[place]
        which = set(of.tolist())
        if len(which) == 1:
            return held[which.pop()].block(row)
        found = np.empty((len(place), self.plan.fixed), dtype=np.uint8)
        for i in which:
            mine = (of == i).nonzero()[0]
            found[mine] = held[i].block(row[mine])
        return found

    def _answer(self, found: dict[str, Any], rows: int) -> Any:
        plan, e = self.plan, self.plan.encoding
        if e.kind == "hidden":
            whole, scale = (torch.cat(part) for part in zip(*found["out"], strict=True))
            return Lazy((self._head(0, whole * scale[:, None]),), plan.size)
        if plan.answer == "lazy":
            heads = tuple(self._head(i, found[f"hidden {i}"]) for i in range(len(plan.heads)))
            return Lazy(heads, plan.size, found.get("asked"))
        if "out" in plan.columns and plan.columns["out"].words:
            words = Words.joined(found["out"])
            return words.topk(e.t, plan.size) if e.lot is None else words.samples(e.t, plan.size)
        return put_together(found, plan.answer, rows)

    def _head(self, i: int, hidden: Tensor) -> Head:
        return Head(hidden, self.get_buffer(f"weight {i}"), getattr(self, f"bias {i}", None), *self.plan.heads[i])

    def __deepcopy__(self, memo: dict[int, Any]) -> Recorded:
        """What is stored never changes, so a copy shares it; its hooks (a view of the input) are its own."""
        new = copy.copy(self)
        vars(new).update({k: copy.copy(v) for k, v in vars(self).items() if isinstance(v, dict)})
        return new


def _keys(x: Any) -> Any:
    return keys(x).cpu().numpy()


def _device(x: Any) -> torch.device:
    return next(iter(x.values())).device if isinstance(x, dict) else x.device


def _to(value: Any, device: torch.device) -> Any:
    if isinstance(value, list):
        return [_to(v, device) for v in value]
    return tuple(_to(v, device) for v in value) if isinstance(value, tuple) else value.to(device)


def open(folder: str | os.PathLike[str], model: nn.Module | None = None) -> Recorded:
    """The teacher in a folder."""
    return Recorded(folder, model)
