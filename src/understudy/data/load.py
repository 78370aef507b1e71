"""From an address to three splits of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from understudy.core.errors import nearest, refuse
from understudy.data import frames, images, limits, words
from understudy.data.address import parse, share, whole
from understudy.data.raw import Ask, Part, Raw
from understudy.data.rows import Data, Split, Task

COMMON = ("task", "valid", "test", "seed", "limit")
TABLE = (*COMMON, "target", "text", "length")
SOURCES: dict[str, tuple[Callable[[str, Ask], Raw], tuple[str, ...]]] = {
    "digits": (images.digits, COMMON),
    "folder": (images.folder, (*COMMON, "size")),
    "npz": (images.npz, COMMON),
    "idx": (images.idx, COMMON),
    "csv": (frames.csv, TABLE),
    "parquet": (frames.parquet, TABLE),
    "jsonl": (frames.jsonl, TABLE),
    "hf": (frames.hub, (*TABLE, "size", "config")),
}
TASKS = ("classify", "multilabel", "regress")
DEFAULTS: dict[str, Any] = {"valid": 0.15, "test": 0.2, "seed": 0, "length": 64}


def load(
    address: str,
    *,
    target: str | None = None,
    text: str | None = None,
    task: str | None = None,
    valid: float = 0.15,
    test: float = 0.2,
    seed: int = 0,
    limit: int | None = None,
    length: int = 64,
    size: int | None = None,
    config: str | None = None,
) -> Data:
    """The rows at an address: `digits`, `folder:`, `npz:`, `idx:`, `csv:`, `parquet:`, `jsonl:` or `hf:` and a place.

    Every option can stand behind a `?` in the address too, and counts more there. target: the label's column (label, target or y
    when left out). text: the column of texts (text or sentence when left out); all others are ignored then. task: 'classify',
    'multilabel' (lists, or `a|b`) or 'regress'; when left out, words and whole numbers of at most 100 different values (with
    two rows each on average) are classes, lists are multilabel, other numbers regress. valid, test: shares of the rows found in
    the training split, where the source has no such split itself; stratified, drawn by seed. limit: at most so many rows of
    every split found, stratified. length: words of a text. size: side of a picture. config: of a hub data set.

    A row without a label may be in training only (y = -1, or NaN). Tables: see `understudy.data.frames.table`.
    Raises `Refused` where an option is unknown or out of range, and where rows can't be used.
    """
    at = parse(address)
    if at.scheme not in SOURCES:
        raise refuse(
            "data",
            address,
            f"{', '.join(SOURCES)} and a place{nearest(at.scheme, SOURCES)}",
            "for instance csv:rows.csv?target=price",
        )
    read, known = SOURCES[at.scheme]
    at.only(known)
    given: dict[str, Any] = {
        "target": target,
        "text": text,
        "task": task,
        "valid": valid,
        "test": test,
        "seed": seed,
        "limit": limit,
    }
    given |= {"length": length, "size": size, "config": config}
    for name, value in given.items():
        if name not in known and value != DEFAULTS.get(name):
            raise refuse(name, value, f"'{at.scheme}' takes {', '.join(known)}")
    ask = _checked(given | at.options)
    if at.scheme == "digits" and at.place:
        raise refuse("data", address, "digits alone, or with options", "write digits")
    return _data(at.text, read(at.place, ask), ask)


def _checked(given: dict[str, Any]) -> Ask:
    for name, (lo, hi) in {"seed": (0, 2**31), "limit": (1, 2**40), "length": (1, 8192), "size": (1, 4096)}.items():
        given[name] = None if given[name] is None else whole(name, given[name], lo, hi)
    for name in ("valid", "test"):
        given[name] = share(name, given[name])
    if given["valid"] + given["test"] >= 1:
        raise refuse("valid+test", given["valid"] + given["test"], "below 1, so that training rows are left")
    if given["task"] not in (None, *TASKS):
        raise refuse("task", given["task"], f"one of {', '.join(TASKS)}{nearest(given['task'], TASKS)}")
    return Ask(**given)


def _data(name: str, raw: Raw, ask: Ask) -> Data:
    task = cast(Task, ask.task) if ask.task else _guess(raw.parts["train"].labels)
    parts = {s: Part(p.features, [_plain(v, task) for v in p.labels]) for s, p in raw.parts.items()}
    for split, part in parts.items():
        bare = sum(v is None for v in part.labels)
        if bare == len(part.labels) or (bare and split != "train"):
            raise refuse(
                f"{split} labels", f"{bare} of {len(part.labels)} missing", "a label in some row; in valid and test in every row"
            )
    if ask.limit:
        parts = {s: p.take(_order(p.labels, task, ask.seed)[: ask.limit]) for s, p in parts.items()}
    parts = _deal(parts, task, ask)
    classes, y = _targets(parts, task, raw.names)
    more: dict[str, Any] = {}
    if task == "regress":
        known = y["train"][y["train"].isfinite()].double()
        more |= {"y_mean": float(known.mean()), "y_std": float(known.std(correction=0)) or 1.0}
    features = {s: p.features for s, p in parts.items()}
    if raw.kind == "image":
        x = _pictures(features)
        mean, std = x["train"].mean((0, 2, 3)), x["train"].std((0, 2, 3), correction=0)
        more |= {"mean": mean, "std": torch.where(std > 0, std, 1.0)}
    elif raw.kind == "text":
        more["vocabulary"] = words.vocabulary(features["train"])
        x = {s: words.encode(f, more["vocabulary"], ask.length) for s, f in features.items()}
    else:
        x, more["columns"], more["mean"], more["std"] = frames.table(features)
    for s, t in x.items():
        if t.is_floating_point() and not t.isfinite().all():
            raise refuse(f"{s} features", "NaN or infinite", "finite numbers within float32's range", "mend or drop those rows")
    made = {s: Split(x[s], y[s], features[s] if raw.kind == "text" else None) for s in x}
    return Data(name, raw.kind, task, classes, made["train"], made["valid"], made["test"], **more)


def _guess(labels: list[Any]) -> Task:
    known = [v for v in labels if v is not None]
    if any(isinstance(v, (list, tuple, np.ndarray)) for v in known):
        return "multilabel"
    if not all(isinstance(v, (int, float)) for v in known):
        return "classify"
    distinct = len(set(known))
    return (
        "classify"
        if all(isinstance(v, int) or v.is_integer() for v in known) and distinct <= max(2, min(100, len(known) / 2))
        else "regress"
    )


def _plain(v: Any, task: Task) -> Any:
    """A label as text (classify), a tuple of texts (multilabel) or a float (regress); None where there is none."""
    if (isinstance(v, str) and not v.strip()) or (isinstance(v, float) and math.isnan(v)):
        return None
    nested = isinstance(v, (list, tuple, dict, np.ndarray))
    if v is None:
        return None
    if task == "multilabel":
        return tuple(_word(i) for i in (v if nested and not isinstance(v, dict) else str(v).split("|")))
    if nested:
        raise refuse(
            "label", v if isinstance(v, dict) else list(v), f"a single value for task={task}", "task=multilabel takes lists"
        )
    if task == "classify":
        return _word(v)
    try:
        return float(v)
    except (ValueError, OverflowError):
        raise refuse("label", v, "a number for task=regress, of at most 1e308", "mend the row, or give task=classify") from None


def _word(v: Any) -> str:
    return str(int(v)) if isinstance(v, float) and v.is_integer() else str(v).strip()


def _order(labels: list[Any], task: Task, seed: int) -> list[int]:
    """Labelled rows, drawn so that every stretch is stratified and the first ones hold every class; then unlabelled ones."""
    drawn = [int(i) for i in np.random.default_rng(seed).permutation(len(labels))]
    known = [i for i in drawn if labels[i] is not None]
    of = {i: labels[i] if task == "classify" else "" for i in known}
    count: dict[Any, int] = {}
    rank = {}
    for i in known:
        rank[i] = count[of[i]] = count.get(of[i], 0) + 1
    return sorted(known, key=lambda i: (rank[i] - 1) / count[of[i]]) + [i for i in drawn if labels[i] is None]


def _deal(parts: dict[str, Part], task: Task, ask: Ask) -> dict[str, Part]:
    """Valid and test rows out of the training rows, where the source has none; unlabelled ones stay."""
    train = parts["train"]
    order = _order(train.labels, task, ask.seed)
    labelled = sum(v is not None for v in train.labels)
    order, rest = order[:labelled], order[labelled:]
    made = {}
    for split, fraction in (("test", ask.test), ("valid", ask.valid)):
        if split in parts:
            made[split] = parts[split]
            continue
        n = round(fraction * labelled)
        if not 0 < n < len(order):
            raise refuse(
                "rows",
                labelled,
                f"enough labelled rows for train, valid and test ({split} would get {n})",
                f"add rows, or change {split}=",
            )
        made[split] = train.take(sorted(order[-n:]))
        order = order[:-n]
    return {"train": train.take(sorted(order + rest)), "valid": made["valid"], "test": made["test"]}


def _targets(parts: dict[str, Part], task: Task, names: tuple[str, ...] | None) -> tuple[tuple[str, ...], dict[str, Tensor]]:
    if task == "regress":
        y = {s: torch.tensor([math.nan if v is None else v for v in p.labels]) for s, p in parts.items()}
        for s, t in y.items():
            if t.isinf().any():
                raise refuse(f"{s} labels", "infinite", "finite numbers within float32's range")
        return (), y
    held = {s: {c for v in p.labels if v is not None for c in (v if task == "multilabel" else (v,))} for s, p in parts.items()}
    for s in ("valid", "test"):
        for extra in sorted(held[s] - held["train"]):
            raise refuse(
                f"{s} label",
                extra,
                f"a class with labelled training rows: {', '.join(_sorted(held['train'])[:20])}",
                "add such rows, or drop these",
            )
    if len(held["train"]) < 2 and task == "classify":
        raise refuse("classes", sorted(held["train"]), "at least two classes among the training rows")
    classes = names or tuple(_sorted(held["train"]))
    at = {c: i for i, c in enumerate(classes)}
    if task == "classify":
        return classes, {s: torch.tensor([-1 if v is None else at[v] for v in p.labels]) for s, p in parts.items()}
    limits.within("unpacked", 4 * len(classes) * sum(len(p.labels) for p in parts.values()), "labels")
    y = {s: torch.zeros(len(p.labels), len(classes)) for s, p in parts.items()}
    for s, p in parts.items():
        for row, v in zip(y[s], p.labels, strict=True):
            row[[] if v is None else [at[c] for c in v]] = 1.0
            if v is None:
                row.fill_(math.nan)
    return classes, y


def _sorted(labels: set[str]) -> list[str]:
    """Numbers by size, words by the alphabet."""
    try:
        return sorted(labels, key=float)
    except ValueError:
        return sorted(labels)


def _pictures(features: dict[str, Tensor]) -> dict[str, Tensor]:
    """In [0,1]: bytes by 255, other ranges by the training rows' smallest and largest value."""
    train = features["train"]
    for s, t in features.items():
        if t.shape[1:] != train.shape[1:]:
            raise refuse(
                f"{s} pictures",
                list(t.shape[1:]),
                f"the training rows' shape {list(train.shape[1:])}",
                "bring all to one size and one number of channels",
            )
        if t.is_floating_point() and not t.isfinite().all():
            raise refuse(f"{s} pictures", "NaN or infinite", "finite numbers", "mend or drop those rows")
    if train.dtype == torch.uint8:
        return {s: t.float() / 255 for s, t in features.items()}
    lo, hi = float(train.min()), float(train.max())
    return features if lo >= 0 and hi <= 1 else {s: (t - lo) / ((hi - lo) or 1.0) for s, t in features.items()}
