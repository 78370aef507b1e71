"""Data sets in the hub's format, by name or from a local folder, which may name no other place to read from."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from understudy.core.errors import refuse
from understudy.data import limits
from understudy.data.address import need
from understudy.data.images import ENDINGS
from understudy.data.raw import reading

TABLES = {".csv", ".tsv", ".json", ".jsonl", ".parquet", ".arrow", ".txt"}
ABOUT = {".md", ".yaml", ".yml", ".cff", ""}  # beside the rows


def load(place: str, config: str | None = None) -> Any:
    """A `datasets.Dataset`, or several by split. Raises `Refused` where it can't be read, has archives in it, or points elsewhere."""
    datasets, folder = need("datasets"), Path(place)
    if folder.is_dir():
        _looked_through(folder)
    kept = any((folder / f).is_file() for f in ("dataset_dict.json", "state.json"))
    try:
        with _quiet(datasets):
            return datasets.load_from_disk(place) if kept else datasets.load_dataset(place, config)
    except Exception as e:  # whatever its builders throw
        why = f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}"
        mend = "check the folder" if folder.is_dir() else "check the name and the network, or give a local folder"
        raise refuse("hf", place, f"loadable by datasets.load_dataset ({why})", mend) from None


@contextmanager
def _quiet(datasets: Any) -> Iterator[None]:
    """What went wrong is told once, by us."""
    level, shown = datasets.utils.logging.get_verbosity(), not datasets.are_progress_bars_disabled()
    datasets.utils.logging.set_verbosity(datasets.utils.logging.CRITICAL)
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.utils.logging.set_verbosity(level)
        if shown:
            datasets.enable_progress_bars()


def _looked_through(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if any(part.startswith(".") for part in inside.parts) or path.is_dir():
            continue
        if path.suffix.lower() not in TABLES | ABOUT | ENDINGS:
            raise refuse("hf", str(path), f"a folder of {', '.join(sorted(TABLES))} or pictures", "unpack it, or take it out")
        if not path.resolve().is_relative_to(folder.resolve()):
            raise refuse("hf", str(path), "a file of this folder", "it is a link to somewhere else: put the file in its place")
        if path.suffix == ".parquet":
            limits.columns(path)
    for name in ("README.md", ".huggingface.yaml"):
        for word in _words(_front(folder / name)):
            if "://" in word or "::" in word or word.startswith(("/", "~")) or ".." in Path(word).parts:
                raise refuse("hf", word, f"a path inside of the folder, in {folder / name}", "fetch the file, and name it there")


def _front(path: Path) -> Any:
    """What a card says to `datasets`."""
    import yaml

    if not path.is_file():
        return None
    text = path.read_text("utf-8", "replace")
    if path.suffix == ".md":
        parts = text.replace("\r", "").split("---\n")
        text = parts[1] if len(parts) > 2 and not parts[0].strip() else ""
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as e:
        raise refuse("hf", str(path), f"a card with readable YAML ({type(e).__name__})", "mend or remove it") from None
    return found.get("configs") if isinstance(found, dict) else None


def _words(value: Any) -> Iterator[str]:
    seen, left = set[int](), [value]
    while left:
        v = left.pop()
        if isinstance(v, str):
            yield v
        elif isinstance(v, (dict, list)) and id(v) not in seen:  # YAML may hold itself
            seen.add(id(v))
            left += v.values() if isinstance(v, dict) else v


def pictures(rows: Any, column: str, split: str, place: str) -> Iterator[tuple[str, Any]]:
    """The pictures of a column with their names, decoded by ourselves: a path in the rows may be any."""
    datasets, folder = need("datasets"), Path(place)
    for i, row in enumerate(rows.select_columns([column]).cast_column(column, datasets.Image(decode=False))):
        name, held = f"{split} row {i}", row[column]
        if held is None or (held["bytes"] is None and held["path"] is None):
            raise refuse("file", name, "a picture in every row", "take the row out")
        if held["bytes"] is None:
            path = Path(held["path"])
            if "://" in held["path"] or (folder.is_dir() and not path.resolve().is_relative_to(folder.resolve())):
                raise refuse("file", held["path"], f"a picture in {place}", "put it there")
        with reading(name, "a picture"):
            found = limits.picture(io.BytesIO(held["bytes"]) if held["bytes"] is not None else str(path), name)
        yield name, found
