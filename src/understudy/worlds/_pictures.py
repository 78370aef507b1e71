"""Pictures that worlds of this folder share: scikit-learn's digits, or a folder that the caller names; values in [-1, 1]."""

from __future__ import annotations

import functools
import lzma
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from understudy.core import seal
from understudy.core.errors import refuse
from understudy.worlds.digits import Part, splits


class Pictures:
    """train, valid, and a test split that is sealed while anything learns. `arriving`: its pictures without their labels."""

    def __init__(self, train: Part, valid: Part, test: Part) -> None:
        self.train, self.valid, self._test = train, valid, test

    @property
    def test(self) -> Part:
        seal.check("the test split of pictures")
        return self._test

    @property
    def arriving(self) -> Tensor:
        return self._test.x


@functools.cache
def pictures(path: str | Path | None, limit: int, dtype: torch.dtype) -> Pictures:
    """None: digits, 897 / 300 / 600 of [1, 8, 8]. A path: a folder with MNIST's four files, with train.tar.xz and test.tar.xz of
    <split>/<class>/<picture>, or with a folder a class; at most `limit` rows of training (a sixth of them for validation) and of
    test, all classes alike."""
    if path is None:
        found = splits(dtype)
        return Pictures(found.pool, found.valid, found._test)
    root = Path(path)
    if not root.is_dir():
        raise refuse("path", str(path), "a folder of pictures that exists", "give that of MNIST's or CIFAR-10's files")
    if (root / "train.tar.xz").is_file():
        parts = _archive(root, limit)
    else:
        from understudy.data.load import load

        form = "idx" if any(root.glob("*-ubyte*")) else "folder"
        data = load(f"{form}:{root}", task="classify", valid=1 / 6, test=1 / 6, limit=limit)
        parts = tuple((s.x, s.y) for s in (data.train, data.valid, data.test))
    return Pictures(*(Part(x.to(dtype) * 2 - 1, y) for x, y in parts))


def _archive(root: Path, limit: int) -> Any:
    """The first pictures of each class of both archives, every sixth of training for validation; -> three times (x, y)"""
    x, y = _unpacked(root / "train.tar.xz", limit)
    kept = torch.arange(len(y)) % 6 == 5
    return (x[~kept], y[~kept]), (x[kept], y[kept]), _unpacked(root / "test.tar.xz", limit)


def _unpacked(path: Path, limit: int, classes: int = 10) -> tuple[Tensor, Tensor]:
    """x [N, C, H, W] in [0, 1], y [N] by the order of the classes' names; at most limit / classes pictures of a class."""
    from understudy.data import limits
    from understudy.data.images import pixels

    taken: Counter[str] = Counter()
    names, found = [], []
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                label, file = Path(member.name).parent.name, archive.extractfile(member)
                if file is not None and taken[label] < -(-limit // classes):
                    taken[label] += 1
                    names.append(label)
                    found.append((member.name, limits.picture(file, member.name)))
    except (OSError, EOFError, tarfile.TarError, lzma.LZMAError) as e:
        said = str(e).partition("\n")[0]
        raise refuse("path", str(path), f"a readable archive of <split>/<class>/<picture> ({said})", "it is damaged") from None
    if not found:
        raise refuse("path", str(path), "an archive of <split>/<class>/<picture>", "it holds no file")
    order = {label: k for k, label in enumerate(sorted(taken))}
    return pixels(found, None).float() / 255, torch.tensor([order[n] for n in names])
