"""A language model that answers from a folder: what it said when it was asked about every row, once (`teachers.labelling`)."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from understudy.core.errors import Refused, refuse
from understudy.parts.encode import Words
from understudy.parts.lazy import Head, Lazy, Samples, TopK
from understudy.teachers import shards
from understudy.teachers.labelling import fingerprint, read_book
from understudy.teachers.shards import Plan, Said, Shard
from understudy.teachers.stored import _shape, keys


class Recorded(nn.Module):
    """x -> what the teacher said about these rows, at the places they ask for, in order: `Samples`, `TopK` or `Lazy`, as it was kept.

    model: the teacher itself, where it is at hand, whose words these must be; it is kept beside and never asked.
    Raises `Refused` where the folder isn't finished, is damaged or another teacher's, and when asked about a row that isn't in it.
    """

    def __init__(self, folder: str | os.PathLike[str], model: nn.Module | None = None) -> None:
        super().__init__()
        self.folder = Path(folder)
        told = shards.manifest(self.folder)
        self.plan = Plan.of(told)
        self._fits(told, model)
        vars(self)["model"] = model  # beside, not inside: it isn't moved or trained with this
        self._shards = [Shard(shards.path(self.folder, i), self.plan, must) for i, must in enumerate(told["shards"])]
        self._book, self._how, self._width = None, [], 0
        if self.plan.encoding.kind == "hidden":
            tensors, about = shards.tensors_in(self.folder / "head.safetensors", self.plan)
            self._how, self._width = json.loads(about["how"]), tensors["weight"].shape[1]
            for name, t in tensors.items():
                self.register_buffer(name, t, persistent=False)
        else:
            self._book = read_book(self.folder / "book.safetensors", self.plan)
        found = np.concatenate([s.keys for s in self._shards])
        self._order = np.argsort(found, kind="stable")
        self._keys = found[self._order]
        self._first = np.cumsum([0, *(len(s.keys) for s in self._shards)])

    def _fits(self, told: dict[str, Any], model: nn.Module | None) -> None:
        if told["shards"] is None:
            raise refuse(
                "store",
                str(self.folder),
                "a folder that is finished",
                "run the same `understudy label` again: it goes on where it was",
            )
        size = getattr(model, "size", self.plan.size)
        if size != self.plan.size:
            raise refuse(
                "store",
                str(self.folder),
                f"a vocabulary of {size}; it holds one of {self.plan.size}",
                "is it another tokenizer's?",
            )
        if model is not None and fingerprint(model) != self.plan.teacher:
            raise refuse(
                "store",
                str(self.folder),
                "the words of this teacher; it holds those of other weights",
                "label again, or give that teacher",
            )

    def __len__(self) -> int:
        """Different rows."""
        return len(self._keys)

    def forward(self, x: Any) -> Samples | TopK | Lazy:
        said = [self._said(int(i)) for i in self._found(x)]
        device = next(iter(x.values())).device if isinstance(x, dict) else x.device
        if self._book is None:
            whole, scale = (torch.cat(part).to(device) for part in zip(*said, strict=True))
            bias = getattr(self, "bias", None)
            return Lazy((Head(whole * scale[:, None], self.get_buffer("weight"), bias, *self._how),), self.plan.size)
        words = Words.joined([w for w in said if isinstance(w, Words)]).to(device)
        return (words.topk if self.plan.encoding.lot is None else words.samples)(self.plan.encoding.t)

    def read(self, at: tuple[str, ...], x: Any) -> tuple[Samples | TopK | Lazy, tuple[Tensor, ...]]:
        """The answer; nothing that was tapped on the way."""
        if at:
            raise refuse("tap", at[0], "nothing: of a language model's answers no features are kept", "use a live teacher")
        return self(x), ()

    def _found(self, x: Any) -> Any:
        """Of each row, which one of the folder it is."""
        if _shape(x) != self.plan.row:
            raise refuse("rows", _shape(x), f"rows as they were labelled, {self.plan.row}; it was never asked about others",
                         "label them as they are now")  # fmt: skip
        asked = keys(x).cpu().numpy()
        place = np.searchsorted(self._keys, asked).clip(max=len(self._keys) - 1)
        unknown = int((self._keys[place] != asked).sum())
        if unknown:
            raise Refused(f"the stored teacher was never asked about such a row ({unknown} of {len(asked)}): "
                          "label it first, or use a live teacher")  # fmt: skip
        return self._order[place]

    def _said(self, i: int) -> Said:
        shard = int(np.searchsorted(self._first, i, side="right")) - 1
        row = i - int(self._first[shard])
        held = self._shards[shard]
        return shards.row_said(held.read(row), int(held.places[row]), self.plan, self._book, self._width)

    def __deepcopy__(self, memo: dict[int, Any]) -> Recorded:
        """What is stored never changes, so a copy shares it; its hooks (a view of the input) are its own."""
        new = copy.copy(self)
        vars(new).update({k: copy.copy(v) for k, v in vars(self).items() if isinstance(v, dict)})
        return new


def open(folder: str | os.PathLike[str], model: nn.Module | None = None) -> Recorded:
    """The teacher in a folder."""
    return Recorded(folder, model)
