"""A teacher that answers from memory: asked once about every row, then never again."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from understudy.core.errors import Refused, nearest, refuse
from understudy.core.files import in_order, write_atomically
from understudy.parts.lazy import Head, Lazy

FORMAT = "understudy.stored/1"
NOISE = 1e-3  # a row's answer moves this much, relatively, with the rows beside it in a batch


@functools.cache
def _factors(width: int, device: torch.device) -> Tensor:
    """Odd 62-bit numbers, the same for ever: keys are kept on disk."""
    made = torch.randint(2**62, (width,), generator=torch.Generator().manual_seed(0x5EED))
    return (made | 1).to(device)


def keys(x: Any) -> Tensor:
    """A 64-bit number for each row of a tensor (or of a dict of tensors) from its bytes alone; -> long [N].

    Integer arithmetic, so the same on every machine, in every order and at every batch size.
    """
    if isinstance(x, dict):
        return torch.stack([keys(v) * (2 * i + 1) for i, (_, v) in enumerate(sorted(x.items()))]).sum(0)
    if not len(x):
        return torch.zeros(0, dtype=torch.long, device=x.device)
    rows = x.detach().reshape(len(x), -1)
    rows = rows.view(torch.uint8) if rows.element_size() == 1 else rows
    rest = -rows.shape[1] % (8 // rows.element_size())
    if rest:
        rows = F.pad(rows, (0, rest))
    elif rows.storage_offset() * rows.element_size() % 8 or not rows.is_contiguous():
        rows = rows.clone(memory_format=torch.contiguous_format)
    words = rows.view(torch.int64)
    high = (words >> 16).bitwise_and_(2**48 - 1)  # bits only ever climb in a product: bring the high ones down first;
    words = words ^ high  # w ^ w>>>16 ^ w>>>48 loses nothing, the mask being what makes an arithmetic shift logical
    words ^= high.__irshift__(32)
    hashed: Tensor = words.mul_(_factors(words.shape[1], words.device)).sum(1)
    return hashed


class _Lazy(NamedTuple):
    """Of a lazy answer, what isn't a tensor: the vocabulary, and scale, cap and factor of each head."""

    size: int
    heads: list[list[Any]]


class Stored(nn.Module):
    """What `teacher` says about `rows`, found again by what is in a row, so that no order can go wrong.

    rows: batches of x. taps: names whose values are kept too (see `understudy.core.taps.tap`). Equal rows are kept once. Where the teacher
    answers lazily, hidden states are kept as they are and its head once; `understudy.teachers.Recorded` keeps a few bytes a token.
    Raises `Refused` when built where equal rows got different answers, and when asked about a row it was never asked about.
    """

    index: Tensor

    def __init__(self, teacher: nn.Module, rows: Iterable[Any], taps: tuple[str, ...] = ()) -> None:
        from understudy.core.taps import resolve, tap

        super().__init__()
        taps = (taps,) if isinstance(taps, str) else tuple(taps)
        modes = [(m, m.training) for m in teacher.modules()]
        teacher.eval()
        found: list[dict[str, Tensor]] = []
        names: dict[str, tuple[str, ...]] = {}
        try:
            with torch.no_grad():
                for x in rows:
                    if not found:
                        self._shape = _shape(x)
                        names = {t: resolve(teacher, t, x) for t in taps}
                    at = tuple(dict.fromkeys(n for group in names.values() for n in group))
                    out, tapped = tap(teacher, at, x) if at else (teacher(x), ())
                    if not found:
                        self._keep_heads(out)
                    found.append({"index": keys(x), **_columns(out), **dict(zip(at, tapped, strict=True))})
        finally:
            for m, mode in modes:
                m.training = mode
        if not found:
            raise refuse("stored.rows", [], "at least one batch")
        values = {name: torch.cat([part[name] for part in found]) for name in found[0]}
        self._keep(values.pop("index"), values, names)

    def _keep_heads(self, out: Any) -> None:
        """What a lazy answer has once, whatever the rows: weights and biases as buffers, which move with the rest, and numbers."""
        self.lazy = _Lazy(out.size, [[h.scale, h.cap, h.factor] for h in out.heads]) if isinstance(out, Lazy) else None
        for i, h in enumerate(out.heads if isinstance(out, Lazy) else ()):
            self.register_buffer(f"weight {i}", h.weight.detach().clone(), persistent=False)
            if h.bias is not None:
                self.register_buffer(f"bias {i}", h.bias.detach().clone(), persistent=False)

    def _keep(self, index: Tensor, values: dict[str, Tensor], names: dict[str, tuple[str, ...]]) -> None:
        index, order = index.sort(stable=True)
        first = torch.ones_like(index, dtype=torch.bool)
        first[1:] = index[1:] != index[:-1]
        group = first.cumsum(0) - 1
        self.names = names
        self.register_buffer("index", index[first], persistent=False)
        for name, value in values.items():
            kept = value[order[first]]
            if not first.all() and not _alike(kept[group], value[order]):
                mend = "the teacher must answer a row the same each time: no dropout, no batch statistics"
                raise refuse("stored.teacher", name, "one answer for equal rows; they got different ones", mend)
            self.register_buffer(_slot(name), kept, persistent=False)

    def forward(self, x: Any) -> Tensor | Lazy:
        return self.read((), x)[0]

    def read(self, at: tuple[str, ...], x: Any) -> tuple[Tensor | Lazy, tuple[Tensor, ...]]:
        """The answer, and what was tapped at these names."""
        for name in at:
            if name not in self.names:
                raise refuse(
                    "tap",
                    name,
                    f"a name that was stored: {', '.join(self.names) or 'none'}{nearest(name, self.names)}",
                    "label the rows again with it",
                )
        if _shape(x) != self._shape:
            raise refuse(
                "rows",
                _shape(x),
                f"rows as they were stored, {self._shape}; it was never asked about others",
                "label them as they are now, or use a live teacher",
            )
        asked = keys(x)
        place = torch.searchsorted(self.index, asked).clamp_(max=len(self.index) - 1)
        if not torch.equal(self.index.index_select(0, place), asked):
            unknown = int((self.index[place] != asked).sum())
            raise Refused(
                f"the stored teacher was never asked about such a row ({unknown} of {len(asked)}): "
                "label it first, or use a live teacher"
            )
        held = (self.get_buffer(_slot(n)) for name in at for n in self.names[name])
        return self._answer(place), tuple(value[place] for value in held)

    def _answer(self, place: Tensor) -> Tensor | Lazy:
        if self.lazy is None:
            return self.get_buffer(_slot("out"))[place]
        heads = (
            Head(
                self.get_buffer(_slot(f"hidden {i}"))[place], getattr(self, f"weight {i}"), getattr(self, f"bias {i}", None), *how
            )
            for i, how in enumerate(self.lazy.heads)
        )
        asked = getattr(self, _slot("asked"), None)
        return Lazy(tuple(heads), self.lazy.size, None if asked is None else asked[place])

    def __len__(self) -> int:
        """Different rows."""
        return len(self.index)

    def __deepcopy__(self, memo: dict[int, Any]) -> Stored:
        """What is stored never changes, so a copy shares its memory; its hooks (a view of the input) are its own."""
        new = copy.copy(self)
        vars(new).update({k: copy.copy(v) for k, v in vars(self).items() if isinstance(v, dict)})
        return new

    def save(self, path: str | os.PathLike[str]) -> Path:
        """To one .safetensors file, whole or not at all."""
        from safetensors.torch import save

        tensors = {name: t.contiguous().cpu() for name, t in self.named_buffers()}
        told = {"format": FORMAT, "shape": json.dumps(self._shape), "taps": json.dumps(self.names), "digest": digest(tensors)}
        told |= {} if self.lazy is None else {"lazy": json.dumps(self.lazy)}
        return write_atomically(path, in_order(save(tensors, told)))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Stored:
        """Raises `Refused` where the file is missing, damaged, or of another kind."""
        from safetensors import SafetensorError, safe_open

        if not Path(path).is_file():
            raise refuse("stored", str(path), "a file that exists", "make it with Stored(teacher, rows).save(path)")
        try:
            with safe_open(path, "pt") as file:
                told = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        except SafetensorError as e:
            raise refuse("stored", str(path), f"a whole safetensors file ({e})", "it is damaged: label the rows again") from None
        if told.get("format") != FORMAT:
            raise refuse(
                "stored", str(path), f"a file of stored answers ({FORMAT}); it is {told.get('format', 'something else')}"
            )
        new = cls.__new__(cls)
        nn.Module.__init__(new)
        try:
            new._shape = json.loads(told["shape"])
            new.names = {k: tuple(v) for k, v in json.loads(told["taps"]).items()}
            new.lazy = _Lazy(*json.loads(told["lazy"])) if "lazy" in told else None
            whole = told["digest"] == digest(tensors)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            whole = False
        if not whole:
            raise refuse("stored", str(path), "the bytes that were written", "it is damaged: label the rows again")
        for name, t in tensors.items():
            new.register_buffer(name, t, persistent=False)
        return new


def _columns(out: Any) -> dict[str, Tensor]:
    """An answer as tensors of one row a row."""
    if isinstance(out, Tensor):
        return {"out": out}
    if not isinstance(out, Lazy):
        raise refuse("stored.teacher", type(out).__name__, "a teacher that answers with a tensor or with lazy logits")
    asked = {} if out.asked is None else {"asked": out.asked}
    return {f"hidden {i}": h.hidden for i, h in enumerate(out.heads)} | asked


def _alike(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a, b) if a.dtype == torch.bool else torch.allclose(a, b, rtol=NOISE, atol=NOISE, equal_nan=True)


def _slot(name: str) -> str:
    """A buffer's name has no dots."""
    return "at " + name.replace(".", "/")


def _shape(x: Any) -> Any:
    """Kind and shape of a row, plain enough for JSON."""
    return (
        {k: _shape(v) for k, v in sorted(x.items())}
        if isinstance(x, dict)
        else [str(x.dtype).removeprefix("torch."), *x.shape[1:]]
    )


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Of names, kinds, shapes and bytes."""
    said = hashlib.blake2b(digest_size=16)
    for name, t in sorted(tensors.items()):
        said.update(f"{name}{t.dtype}{tuple(t.shape)}".encode())
        said.update(t.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return said.hexdigest()
