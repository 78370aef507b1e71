"""Recordings of spoken digits in a folder, as they lie there: who says what, and the sound."""

from __future__ import annotations

import csv
import functools
import lzma
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from understudy.core.errors import refuse

RATE = 8000  # hertz
COLUMNS = ("digit", "speaker", "start", "stop", "take")


@dataclass(frozen=True)
class Recordings:
    """waves: one a row, of its own length, within [-1, 1]; digit and take [N]; speaker: names."""

    waves: tuple[Tensor, ...]
    digit: Tensor
    take: Tensor
    speaker: tuple[str, ...]

    def cut(self, length: int, dtype: torch.dtype) -> Tensor:
        """The first `length` samples of each, silence behind those that are shorter; -> [N, length]"""
        x = torch.zeros(len(self.waves), length, dtype=dtype)
        for row, wave in zip(x, self.waves, strict=True):
            row[: min(len(wave), length)] = wave[:length].to(dtype)
        return x


@functools.lru_cache(maxsize=2)
def recordings(path: str) -> Recordings:
    """A folder with index.csv (the columns above; start and stop in samples) and a *.xz of int16 first differences at 8 kHz.
    Raises `Refused` where it holds something else."""
    folder = Path(path)
    index, packed = folder / "index.csv", sorted(folder.glob("*.xz"))
    if not index.is_file() or not packed:
        raise refuse("path", path, "a folder with index.csv and a *.xz of recordings", "look for its name")
    with index.open() as f:
        rows = list(csv.DictReader(f))
    if not rows or not set(COLUMNS) <= rows[0].keys():
        raise refuse("path", str(index), f"a table with the columns {', '.join(COLUMNS)}", "look at its first line")
    with lzma.open(packed[0]) as f:
        pcm = np.cumsum(np.frombuffer(f.read(), np.int16), dtype=np.int16)
    ends = [(int(r["start"]), int(r["stop"])) for r in rows]
    if not all(0 <= a < b <= len(pcm) for a, b in ends):
        raise refuse("path", str(index), f"recordings within the {len(pcm)} samples of {packed[0].name}", "they belong together")
    whole = lambda name: torch.tensor([int(r[name]) for r in rows])
    waves = tuple(torch.from_numpy(pcm[a:b].astype(np.float32)) / 2**15 for a, b in ends)
    return Recordings(waves, whole("digit"), whole("take"), tuple(r["speaker"] for r in rows))
