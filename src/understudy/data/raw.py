"""What a reader hands over: the rows of each split as they were found, and what they were found with."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from understudy.core.errors import Refused, refuse
from understudy.data.rows import Kind

SPLITS = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid", "dev": "valid", "test": "test"}


@dataclass(frozen=True)
class Ask:
    """The options of `load`, checked."""

    target: str | None
    text: str | None
    task: str | None
    valid: float
    test: float
    seed: int
    limit: int | None
    length: int
    size: int | None
    config: str | None


@dataclass(frozen=True)
class Part:
    """features: a tensor [N,C,H,W], a list of texts or a pandas table; labels: one a row, None = unlabelled."""

    features: Any
    labels: list[Any]

    def take(self, rows: list[int]) -> Part:
        f = self.features
        picked = (
            f[torch.tensor(rows, dtype=torch.long)]
            if isinstance(f, torch.Tensor)
            else [f[i] for i in rows]
            if isinstance(f, list)
            else f.iloc[rows]
        )
        return Part(picked, [self.labels[i] for i in rows])


@dataclass(frozen=True)
class Raw:
    """parts: 'train' and, where they were given, 'valid' and 'test'; names: of labels in their order, where stated."""

    kind: Kind
    parts: dict[str, Part]
    names: tuple[str, ...] | None = None


def found(place: str) -> Path | None:
    """Where something is, or nothing: ~ is the home folder."""
    try:
        path = Path(place).expanduser()
        return path if place and path.exists() else None
    except (OSError, ValueError, RuntimeError):  # too long a name, letters that none may have, a user that isn't there
        return None


def existing(place: str, field: str) -> Path:
    path = found(place)
    if path is None:
        raise refuse(field, place, "a file or folder that exists", f"there is none at {Path(place).absolute()}")
    return path


@contextmanager
def reading(path: object, form: str) -> Iterator[None]:
    """What a damaged file throws, as one line that names the file."""
    try:
        yield
    except Refused:
        raise
    except (
        OSError,
        ValueError,
        EOFError,
        KeyError,
        SyntaxError,
        tokenize.TokenError,
        RecursionError,
        NotImplementedError,
        zlib.error,
        zipfile.BadZipFile,
    ) as e:
        raise refuse(
            "file",
            str(path),
            f"readable as {form} ({str(e).splitlines()[0] if str(e) else type(e).__name__})",
            "it is damaged, or of another kind",
        ) from None
