"""What a teacher said, taken apart into named columns of one value a row, and put together again; and a value as bytes.

An answer may be a tensor, lazy logits, or dictionaries and lists of tensors. A tensor, or a list with one of them for each row whose first sides may
differ (boxes, sequences), is a column; what the columns hang in is a `Shape`, plain enough for JSON.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from understudy.core.errors import refuse
from understudy.parts import encode
from understudy.parts.encode import Words
from understudy.parts.lazy import Head, Lazy

DENSE = ("float32", "float16", "int8")
WORDS = ("samples", "hybrid", "top-k")
Shape = str | dict[str, Any] | list[Any]
Value = Tensor | Words | tuple[Tensor, Tensor]  # of a row; hidden states are whole numbers [T, H] and their scales [T]


@dataclass(frozen=True)
class Column:
    """kind: how its values are kept, 'exact' where they aren't fractions. dtype: of what comes out. shape: of a row's value; of what is at
    one place where rows have as many places as they like (`ragged`)."""

    kind: str
    dtype: str
    shape: tuple[int, ...]
    ragged: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain enough for JSON."""
        return asdict(self) | {"shape": list(self.shape)}

    @classmethod
    def of(cls, told: dict[str, Any]) -> Column:
        """The way back."""
        return cls(told["kind"], told["dtype"], tuple(told["shape"]), told["ragged"])

    @property
    def words(self) -> bool:
        """Ragged in the columns' own way, by `parts.pack`."""
        return self.kind in (*WORDS, "hidden")

    @property
    def out(self) -> Any:
        """The dtype of what comes out."""
        return getattr(torch, self.dtype)

    @property
    def kept(self) -> Any:
        """Numpy's dtype of what is kept."""
        if self.kind == "exact":
            return np.dtype("uint8" if self.dtype == "bool" else self.dtype)
        return np.dtype("float64" if (self.kind, self.dtype) == ("float32", "float64") else self.kind)

    def size(self, places: int = 1) -> int:
        """Bytes of a dense value."""
        return places * (math.prod(self.shape) * self.kept.itemsize + (4 * self.scales if self.kind == "int8" else 0))

    @property
    def scales(self) -> int:
        """Of int8: one of a vector, or of each place of a ragged value; one of each channel of what has more sides."""
        return self.shape[0] if len(self.shape) > 1 and not self.ragged else 1

    def pack(self, value: Tensor) -> bytes:
        """A dense value, all of its places."""
        value = value.detach().cpu()
        if self.kind == "int8":
            places = len(value) if self.ragged else 1
            whole, scale = encode.in_8_bits(value.reshape(places * self.scales, math.prod(self.shape) // self.scales))
            return scale.float().numpy().tobytes() + whole.numpy().tobytes()
        value = value.float() if value.dtype == torch.bfloat16 else value
        with np.errstate(over="ignore"):
            kept = value.contiguous().numpy().astype(self.kept)
        if self.kind == "float16" and not np.isfinite(kept).all():
            raise refuse(
                "encoding.kind", "float16", "answers within 65504", f"keep float32: one of them is {float(value.abs().max()):.3g}"
            )
        return bytes(kept.tobytes())

    def unpack(self, data: Any, rows: int, places: int = 1) -> Tensor:
        """Of uint8 [rows, bytes], all rows with so many places -> [rows, (places,) *shape]"""
        shape = (rows, *((places,) if self.ragged else ()), *self.shape)
        if self.kind == "int8":
            scales = places * self.scales
            scale = torch.from_numpy(np.ascontiguousarray(data[:, : 4 * scales]).view(np.float32))
            whole = torch.from_numpy(np.ascontiguousarray(data[:, 4 * scales :]).view(np.int8))
            return (
                (whole.view(rows, scales, math.prod(self.shape) // self.scales) * scale.view(rows, scales, 1))
                .reshape(shape)
                .to(self.out)
            )
        return torch.from_numpy(np.ascontiguousarray(data).view(self.kept)).reshape(shape).to(self.out)


def shape_of(out: Any, rows: int, name: str = "out") -> Shape:
    """What the columns of an answer hang in. Raises `Refused` where it is nothing of the kind."""
    if isinstance(out, (Tensor, Lazy)):
        return name
    if isinstance(out, dict):
        return {k: shape_of(v, rows, f"{name}.{k}") for k, v in out.items()}
    if isinstance(out, (list, tuple)) and len(out) == rows and rows:
        first = out[0]
        return [{k: f"{name}.{k}" for k in first} if isinstance(first, dict) else name]
    raise refuse(
        "teacher",
        type(out).__name__,
        "a teacher that answers with tensors, lazy logits, dictionaries of them, or a list of one for each row",
    )


def taken_apart(out: Any, shape: Shape) -> dict[str, Any]:
    """-> {column: tensor of one row a row, a list of tensors, or lazy logits}"""
    if isinstance(shape, str):
        return {shape: out}
    if isinstance(shape, dict):
        return {name: v for k, inside in shape.items() for name, v in taken_apart(out[k], inside).items()}
    (inside,) = shape
    if isinstance(inside, dict):
        return {name: [row[k] for row in out] for k, name in inside.items()}
    return {inside: list(out)}


def put_together(found: dict[str, Any], shape: Shape, rows: int) -> Any:
    """The way back."""
    if isinstance(shape, str):
        return found[shape]
    if isinstance(shape, dict):
        return {k: put_together(found, inside, rows) for k, inside in shape.items()}
    (inside,) = shape
    if isinstance(inside, dict):
        return [{k: found[name][i] for k, name in inside.items()} for i in range(rows)]
    return found[inside]


def column(value: Tensor | Sequence[Tensor], kind: str) -> Column:
    """How a tensor of one row a row, or one tensor for each row, is kept."""
    ragged = not isinstance(value, Tensor)
    first = value[0]
    kind = kind if first.is_floating_point() else "exact"
    return Column(kind, str(first.dtype).removeprefix("torch."), tuple(first.shape[1:] if ragged else first.shape), ragged)


def spoken(value: Tensor | Lazy) -> Lazy:
    """Logits [N, C] as a lazy answer, for what makes words of it."""
    if isinstance(value, Lazy):
        return value.detach()
    if value.dim() != 2:
        raise refuse(
            "encoding.kind", list(value.shape), "scores of classes, [N, C], to keep some of", "keep float32, float16 or int8"
        )
    return Lazy((Head(value.detach().float(), torch.eye(value.shape[1], device=value.device)),), value.shape[1])


def finite(value: Any, name: str, row: Callable[[int], Any]) -> None:
    """Raises `Refused` where a teacher's answer isn't a number, naming the row."""
    for i, v in enumerate(value if isinstance(value, (list, tuple)) else [value]):
        if v.is_floating_point() and not bool(v.isfinite().all()):
            bad = (
                i
                if isinstance(value, (list, tuple))
                else int((~v.isfinite()).flatten(1).any(1).nonzero()[0])
                if v.dim() > 1
                else 0
            )
            raise refuse(
                "teacher",
                f"NaN or infinity in '{name}'",
                f"finite answers; row {row(bad)} has none",
                "look for NaN in that row, or in the weights",
            )
