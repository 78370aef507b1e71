"""Tables and texts: csv, parquet, jsonl, and whatever `datasets` reads."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from understudy.core.errors import nearest, refuse
from understudy.data import foreign, limits
from understudy.data.address import need
from understudy.data.images import pixels
from understudy.data.raw import SPLITS, Ask, Part, Raw, existing, reading

TARGETS, TEXTS = ("label", "target", "y"), ("text", "sentence")
LEVELS, LARGEST = 100, 1e30  # the square of anything larger may overflow


def csv(place: str, ask: Ask) -> Raw:
    return _files(place, ask, ("csv", "csv.gz"), _comma_separated)


def _comma_separated(path: Path) -> Any:
    pandas = need("pandas")
    with limits.opened(path) as file:  # pandas itself gives a second column of a name another one
        names = pandas.read_csv(file, header=None, nrows=1, dtype=str).iloc[0].tolist()
    if twice := [n for i, n in enumerate(names) if n in names[:i]]:
        raise refuse("column", twice[0], f"a name that is there once in {path}", "rename one of them, or take it out")
    with limits.opened(path) as file:
        table = pandas.read_csv(file)
    if not isinstance(table.index, pandas.RangeIndex):  # what it makes of a first column without a name
        mend = "is a name missing, or a comma in a cell without quotes?"
        raise refuse("file", str(path), f"rows of as many cells as there are names, {len(names)}; they have more", mend)
    return table


def parquet(place: str, ask: Ask) -> Raw:
    need("pyarrow")
    return _files(place, ask, ("parquet",), _columns)


def _columns(path: Path) -> Any:
    limits.columns(path)
    try:
        return need("pandas").read_parquet(path)
    except TypeError as e:  # what pandas noted of its own kinds is damaged
        raise ValueError(str(e)) from None


def jsonl(place: str, ask: Ask) -> Raw:
    return _files(place, ask, ("jsonl", "json"), _lines)


def _lines(path: Path) -> Any:
    rows, names = list[Any](), set[str]()
    for number, line in limits.lines(path):
        try:
            rows.append(json.loads(line))
        except (json.JSONDecodeError, RecursionError) as e:
            why = getattr(e, "msg", "too deep")
            raise refuse("file", str(path), f"a JSON object a line; line {number} isn't ({why})") from None
        if isinstance(rows[-1], dict):
            names |= rows[-1].keys()
        limits.within("unpacked", 8 * len(rows) * len(names), path, limits.room(path))  # a table has a cell for each
    if not all(isinstance(row, dict) for row in rows):
        raise refuse("file", str(path), "a JSON object a line", 'for instance {"a": 1, "label": 0}')
    return need("pandas").DataFrame(rows)


def _files(place: str, ask: Ask, endings: Sequence[str], read: Callable[[Path], Any]) -> Raw:
    path = existing(place, "file")
    paths = {"train": path}
    if path.is_dir():
        paths = {
            split: path / f"{stem}.{end}"
            for stem, split in SPLITS.items()
            for end in endings
            if (path / f"{stem}.{end}").is_file()
        }
        if "train" not in paths:
            raise refuse(
                "folder",
                str(path),
                f"a folder with train.{endings[0]} (and valid.{endings[0]}, test.{endings[0]}) in it",
                "put the file there, or name it",
            )
    frames = {}
    for split, file in paths.items():
        with reading(file, endings[0]):
            frames[split] = read(file)
        if not len(frames[split]):
            raise refuse("file", str(file), "a file with at least one row")
    return _raw(frames, ask)


def _raw(frames: dict[str, Any], ask: Ask) -> Raw:
    """Which column is the label, which one the text."""
    columns = [str(c) for c in frames["train"].columns]
    target = ask.target or next((c for c in TARGETS if c in columns), None)
    if target not in columns:
        raise refuse(
            "target",
            target,
            f"a column: {', '.join(columns)}{nearest(target or '', columns)}",
            "" if target else "give target=<column>",
        )
    text = ask.text or next((c for c in TEXTS if c in columns and c != target), None)
    if text is not None and text not in columns:
        raise refuse("text", text, f"a column: {', '.join(columns)}{nearest(text, columns)}")
    if text == target:
        raise refuse("text", text, "another column than the target", "give target=<column>")
    parts = {}
    for split, frame in frames.items():
        for column in (target, text) if text else columns:
            if column not in frame:
                raise refuse(
                    f"{split} columns", list(map(str, frame.columns)), f"the training rows' columns; '{column}' is missing"
                )
        labels = [None if _missing(v) else v for v in frame[target].tolist()]
        if text:
            texts = ["" if _missing(v) else str(v) for v in frame[text].tolist()]
            if not any(t.strip() for t in texts):
                raise refuse(
                    "text", text, f"a column with words in some {split} row", "name the column with the texts: ?text=<column>"
                )
            parts[split] = Part(texts, labels)
        else:
            parts[split] = Part(frame.drop(columns=target), labels)
    return Raw("text" if text else "table", parts)


def _missing(value: Any) -> bool:
    return value is None or value is need("pandas").NA or (isinstance(value, float) and math.isnan(value))


def hub(place: str, ask: Ask) -> Raw:
    """A name on the hub or a local folder in its format; a test split whose labels were kept back (all -1) is set aside."""
    datasets = need("datasets")
    found = foreign.load(place, ask.config)
    given = found if isinstance(found, dict) else {"train": found}
    sets = {SPLITS[s]: rows for s, rows in given.items() if s in SPLITS}
    if "train" not in sets or not len(sets["train"]):
        raise refuse("hf", place, "a data set with rows in a split named 'train'", f"it has {', '.join(map(str, given))}")
    features = sets["train"].features
    pictures = [c for c, f in features.items() if isinstance(f, datasets.Image)]
    if pictures:
        raw = _raw({s: d.remove_columns(pictures).to_pandas() for s, d in sets.items()}, ask)
        shown = {s: pixels(foreign.pictures(d, pictures[0], s, place), ask.size) for s, d in sets.items()}
        raw = Raw("image", {s: Part(shown[s], p.labels) for s, p in raw.parts.items()})
    else:
        raw = _raw({s: d.to_pandas() for s, d in sets.items()}, ask)
    target = ask.target or next(c for c in TARGETS if c in features)
    feature = getattr(features[target], "feature", features[target])
    if not isinstance(feature, datasets.ClassLabel):
        return raw
    names = tuple(feature.names)

    def named(v: Any) -> Any:
        return None if v is None or (np.ndim(v) == 0 and v < 0) else names[int(v)] if np.ndim(v) == 0 else [names[i] for i in v]

    parts = {s: Part(p.features, [named(v) for v in p.labels]) for s, p in raw.parts.items()}
    return Raw(raw.kind, {s: p for s, p in parts.items() if s != "test" or any(v is not None for v in p.labels)}, names)


def table(frames: dict[str, Any]) -> tuple[dict[str, Tensor], tuple[str, ...], Tensor, Tensor]:
    """Numbers from columns: -> {split: float [N,D]}, names [D], mean [D], std [D].

    A number is standardised by the training rows, a missing one becomes their mean; words become one column a training level
    (at most 100), all 0 for a level that training never saw. A column that misses values in training gets one more, `<name>
    missing`, of 0/1. Columns of 0/1 stay as they are (mean 0, std 1). Raises `Refused` for infinite, nested or empty columns.
    """
    pandas = need("pandas")
    train = frames["train"]
    out: dict[str, list[Any]] = {s: [] for s in frames}
    names: list[str] = []
    scale: list[tuple[float, float]] = []

    def add(name: str, values: dict[str, Any], mean: float = 0.0, std: float = 1.0) -> None:
        names.append(name)
        scale.append((mean, std))
        for s, v in values.items():
            out[s].append(v)

    for column in train.columns:
        kind = train[column].dtype.kind
        missing = {s: f[column].isna().to_numpy() for s, f in frames.items()}
        if missing["train"].all():
            raise refuse("column", str(column), "a column with a value in some training row", "remove it")
        if kind in "biuf":
            try:
                values = {s: pandas.to_numeric(f[column]).to_numpy(dtype=np.float64, na_value=np.nan) for s, f in frames.items()}
            except (ValueError, TypeError) as e:
                raise refuse("column", str(column), f"numbers, as in the training rows ({e})") from None
            if any((np.abs(v) > LARGEST).any() for v in values.values()):
                raise refuse(
                    "column",
                    str(column),
                    f"finite numbers, up to {LARGEST:g}; it holds a larger one",
                    "leave the cell empty, or mend it",
                )
            mean, std = float(np.nanmean(values["train"])), float(np.nanstd(values["train"])) or 1.0
            add(str(column), {s: np.where(missing[s], 0.0, (v - mean) / std) for s, v in values.items()}, mean, std)
        else:
            known = train[column][~missing["train"]]
            if kind not in "OTU" or not all(isinstance(v, (str, bool)) for v in known):
                raise refuse(
                    "column", str(column), f"numbers or words, not {known.iloc[0]!r}", "remove it, or turn it into numbers"
                )
            levels = sorted({str(v) for v in known})
            if len(levels) > LEVELS:
                raise refuse(
                    "column",
                    str(column),
                    f"at most {LEVELS} different words, it has {len(levels)}",
                    f"remove it, or give text={column}",
                )
            for level in levels:
                add(
                    f"{column}={level}", {s: (f[column].astype(str) == level).to_numpy() & ~missing[s] for s, f in frames.items()}
                )
        if missing["train"].any():
            add(f"{column} missing", missing)
    if not names:
        raise refuse("columns", list(map(str, train.columns)), "at least one besides the target")
    x = {s: torch.from_numpy(np.stack(v, 1).astype(np.float32)) for s, v in out.items()}
    means, stds = torch.tensor(scale).unbind(1)
    return x, tuple(names), means, stds
