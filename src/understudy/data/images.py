"""Pictures: scikit-learn's digits, folders of image files, MNIST's own format, and arrays of numpy."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from understudy.core.errors import refuse
from understudy.data import limits
from understudy.data.address import need
from understudy.data.raw import SPLITS, Ask, Part, Raw, existing, reading

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}


def digits(place: str, ask: Ask) -> Raw:
    """1,797 pictures of handwritten digits, [N,1,8,8], that come with scikit-learn."""
    found = need("sklearn.datasets", "scikit-learn").load_digits()
    return Raw("image", {"train": Part(torch.from_numpy(found.images / 16.0).float()[:, None], found.target.tolist())})


def pixels(pictures: Iterable[tuple[str, Any]], size: int | None) -> Tensor:
    """Pictures of PIL with their names -> uint8 [N,C,H,W], RGB unless all are grey; size: the side to bring them to."""
    loaded, shape, total = [], None, 0
    for name, picture in pictures:
        with reading(name, "a picture"):
            grey = picture.mode in ("1", "L")
            array = picture.convert("L" if grey else "RGB")
            array = np.asarray(array.resize((size, size), 2) if size else array)
        shape = shape or array.shape[:2]
        if array.shape[:2] != shape:
            raise refuse(
                "size",
                f"{array.shape[1]}x{array.shape[0]}",
                f"one size for all: {name} differs from {shape[1]}x{shape[0]}",
                "give ?size=32",
            )
        total += array.nbytes
        limits.within("unpacked", total, name)
        loaded.append(array)
    if any(a.ndim == 3 for a in loaded):
        loaded = [a if a.ndim == 3 else np.repeat(a[..., None], 3, -1) for a in loaded]
    stacked = torch.from_numpy(np.stack(loaded))
    return stacked[:, None] if stacked.dim() == 3 else stacked.permute(0, 3, 1, 2).contiguous()


def folder(place: str, ask: Ask) -> Raw:
    """A folder a class, optionally below folders named train, valid and test."""
    root = existing(place, "folder")
    tops = {SPLITS[p.name]: p for p in sorted(root.iterdir()) if p.is_dir() and p.name in SPLITS} if root.is_dir() else {}
    found = {}
    for split, top in ({"train": root} if "train" not in tops else tops).items():
        files = sorted(f for f in top.glob("*/*") if f.suffix.lower() in ENDINGS)
        if not files:
            raise refuse(
                "folder",
                str(top),
                f"folders named after classes, with {', '.join(sorted(ENDINGS))} files in them",
                "put each picture into its class's folder",
            )
        found[split] = files

    def opened(files: list[Path]) -> Iterable[tuple[str, Any]]:
        for file in files:
            with reading(file, "a picture"), limits.picture(file, file) as picture:
                yield str(file), picture

    return Raw("image", {s: Part(pixels(opened(files), ask.size), [f.parent.name for f in files]) for s, files in found.items()})


def idx(place: str, ask: Ask) -> Raw:
    """MNIST and its like as published: four files, .gz or not; t10k is the test split."""
    root = existing(place, "folder")
    parts = {}
    for split, stem in (("train", "train"), ("test", "t10k")):
        x, y = _idx(root, f"{stem}-images", 3), _idx(root, f"{stem}-labels", 1)
        if len(x) != len(y):
            raise refuse(
                "labels", len(y), f"as many as there are pictures in {stem}-images: {len(x)}", "both have to be of one set"
            )
        parts[split] = Part(torch.from_numpy(x)[:, None], y.tolist())
    return Raw("image", parts)


def _idx(root: Path, stem: str, dims: int) -> np.ndarray[Any, Any]:
    names = [f"{stem}{dot}idx{dims}-ubyte{gz}" for dot in "-." for gz in ("", ".gz")]
    path = next((root / n for n in names if (root / n).is_file()), None)
    if path is None:
        raise refuse(
            "folder", str(root), f"a folder with {names[0]} (or .gz) in it", "fetch it there: the four files of MNIST's format"
        )
    with reading(path, "IDX"):
        with limits.opened(path) as file:
            head = file.read(4 * dims + 4)
            magic, *shape = struct.unpack(f">{dims + 1}I", head) if len(head) == 4 * dims + 4 else (0,)
            if magic != 0x800 + dims:
                raise ValueError("its first bytes are another format's")
            size = math.prod(shape)
            limits.within("unpacked", size, path, limits.room(path))
            there = size if path.suffix == ".gz" else path.stat().st_size - len(head)
            content = file.read(size + 1) if there == size else b""
        if len(content) != size:
            raise ValueError("more or fewer bytes than its header tells of")
        return np.frombuffer(content, np.uint8).reshape(shape).copy()


def npz(place: str, ask: Ask) -> Raw:
    """X, y (or x, y), or x_train, y_train, x_test, y_test (and x_valid, y_valid); never unpickled.

    X [N,D] is a table; [N,H,W], [N,C,H,W] or [N,H,W,C] are pictures. y [N], [N,1], or [N,C] of 0/1 (multilabel).
    """
    path = existing(place, "file")
    with reading(path, "npz without pickled objects"):
        held = {k.lower(): v for k, v in limits.arrays(path).items()}
    ends = {"": "train"} if "x" in held else {f"_{end}": split for end, split in SPLITS.items() if f"x_{end}" in held}
    if not ends:
        raise refuse(
            "file", str(path), "X and y, or x_train, y_train, x_test and y_test", f"it holds {', '.join(held) or 'nothing'}"
        )
    parts = {}
    for end, split in ends.items():
        if f"y{end}" not in held:
            raise refuse("file", str(path), f"y{end} beside x{end}", f"it holds {', '.join(held)}")
        x, y = held[f"x{end}"], held[f"y{end}"]
        if x.ndim not in (2, 3, 4) or x.dtype.kind not in "biuf" or (x.ndim > 2 and not x.size):
            raise refuse(
                f"x{end}", f"{x.dtype}{list(x.shape)}", "numbers [N,D], [N,H,W], [N,C,H,W] or [N,H,W,C], no side of them 0"
            )
        if y.ndim not in (1, 2) or len(x) != len(y):
            raise refuse(f"y{end}", list(y.shape), f"[{len(x)}] or [{len(x)},C]", f"give a label a row of x{end}")
        parts[split] = Part(_features(x), _labels(y))
    return Raw("table" if held["x" + next(iter(ends))].ndim == 2 else "image", parts)


def _features(x: np.ndarray[Any, Any]) -> Any:
    if x.ndim == 2:
        return need("pandas").DataFrame(x, columns=[f"x{i}" for i in range(x.shape[1])])
    if x.ndim == 4 and x.shape[-1] in (1, 3) and x.shape[1] not in (1, 3):
        x = np.moveaxis(x, -1, 1)
    pictures = torch.from_numpy(np.ascontiguousarray(x if x.dtype == np.uint8 else x.astype(np.float32)))
    return pictures[:, None] if x.ndim == 3 else pictures


def _labels(y: np.ndarray[Any, Any]) -> list[Any]:
    if y.ndim == 2 and y.shape[1] > 1:
        return [np.flatnonzero(row).tolist() for row in y]
    return list(y.reshape(-1).tolist())
