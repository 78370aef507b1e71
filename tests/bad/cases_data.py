"""Rows: files of every kind that are damaged, ragged, empty, of another encoding or another shape, and addresses that lead nowhere."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from bad.runner import Case
from understudy import data

Files = dict[str, Any]


def load(address: str, files: Files | None = None, **options: Any) -> Callable[[Path], Callable[[], Any]]:
    """Files by name: text, bytes, another file's name behind '->', a table for parquet, arrays for npz, None for a folder."""

    def make(folder: Path) -> Callable[[], Any]:
        put(folder, files or {})
        return lambda: data.load(address, **options)

    return make


def put(folder: Path, files: Files) -> None:
    for name, held in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if held is None:
            path.mkdir()
        elif callable(held):
            held(path)
        elif isinstance(held, pd.DataFrame):
            held.to_parquet(path)
        elif isinstance(held, dict):
            np.savez(path, **held)
        elif isinstance(held, str) and held.startswith("->"):
            path.symlink_to(held[2:])
        else:
            path.write_bytes(held.encode() if isinstance(held, str) else held)


def table(n: int = 40, **more: Any) -> pd.DataFrame:
    made = pd.DataFrame({"a": np.arange(n) * 0.5, "b": np.arange(n) % 7, "label": np.arange(n) % 2})
    return made.assign(**more)


def csv(n: int = 40, **more: Any) -> str:
    return table(n, **more).to_csv(index=False)


def png(side: int = 6, value: int = 3, mode: str = "L") -> bytes:
    out = io.BytesIO()
    Image.new(mode, (side, side), value).save(out, "PNG")
    return out.getvalue()


def pictures(classes: tuple[str, ...] = ("cat", "dog"), n: int = 8, **more: Any) -> Files:
    return {f"p/{c}/{i}.png": png(value=i) for c in classes for i in range(n)} | more


def mnist(**changed: bytes | None) -> Files:
    x, y = np.zeros((20, 4, 4), np.uint8), (np.arange(20) % 2).astype(np.uint8)
    files = {
        f"m/{stem}-{what}": _idx(a)
        for stem in ("train", "t10k")
        for what, a in (("images-idx3-ubyte", x), ("labels-idx1-ubyte", y))
    }
    names = {"train_x": "m/train-images-idx3-ubyte", "train_y": "m/train-labels-idx1-ubyte", "test_y": "m/t10k-labels-idx1-ubyte"}
    for short, held in changed.items():
        files.pop(names[short])
        if held is not None:
            files[names[short]] = held
    return files


def _idx(a: Any) -> bytes:
    return bytes(struct.pack(f">{a.ndim + 1}I", 0x800 + a.ndim, *a.shape) + a.tobytes())


def _zip(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name, held in members.items():
            z.writestr(name, held)
    return out.getvalue()


def _pickled() -> bytes:
    out = io.BytesIO()
    np.savez(out, X=np.array([{"a": 1}] * 9, dtype=object), y=np.arange(9))
    return out.getvalue()


LONG = "n" * 3000
X, Y = np.arange(120.0).reshape(40, 3), np.arange(40) % 2
ROWS = "\n".join(json.dumps({"a": i, "b": i * i, "label": i % 2}) for i in range(40))

# name, address, files, what the message holds as field, value and what is allowed
ADDRESSES: list[tuple[str, str, Files, str, str, str]] = [
    ("a near miss", "digit", {}, "data", "digit", "did you mean 'digits'"),
    ("another near miss", "cvs:rows.csv", {}, "data", "cvs", "csv"),
    ("nothing", "", {}, "data", "''", "digits, folder"),
    ("a path without a scheme", "rows.csv", {"rows.csv": csv()}, "data", "rows.csv", "csv"),
    ("capitals", "CSV:rows.csv", {}, "data", "CSV", "csv"),
    ("a space before", " digits", {}, "data", " digits", "digits"),
    ("a web page", "https://host/rows.csv", {}, "data", "https", "csv"),
    ("a long one", "csv:" + LONG, {}, "file", "nnn", "exists"),
    ("nobody's home", "csv:~nobody-here/a.csv", {}, "file", "~nobody-here", "exists"),
    ("a zero byte", "csv:a\0b", {}, "file", "a", "exists"),
    ("half a character", "csv:\ud800.csv", {}, "file", "", "exists"),
    ("options that are none", "digits?limit", {}, "address", "digits?limit", "as in a URL"),
    ("an unknown option", "digits?limitt=3", {}, "limitt", "3", "did you mean 'limit'"),
    ("an option of tables", "digits?target=y", {}, "target", "y", "'digits' takes"),
    ("limit is text", "digits?limit=few", {}, "limit", "few", "whole number"),
    ("limit is 0", "digits?limit=0", {}, "limit", "0", "whole number"),
    ("limit is negative", "digits?limit=-5", {}, "limit", "-5", "whole number"),
    ("limit is one half", "digits?limit=1.5", {}, "limit", "1.5", "whole number"),
    ("limit is huge", "digits?limit=" + "9" * 5000, {}, "limit", "999", "whole number"),
    ("limit is too small for the classes", "digits?limit=3", {}, "", "", ""),
    ("seed is negative", "digits?seed=-1", {}, "seed", "-1", "whole number"),
    ("valid is a word", "digits?valid=some", {}, "valid", "some", "fraction"),
    ("valid is 0", "digits?valid=0", {}, "valid", "0", "fraction"),
    ("valid is 1", "digits?valid=1", {}, "valid", "1", "fraction"),
    ("test is no number", "digits?test=nan", {}, "test", "nan", "fraction"),
    ("test is infinite", "digits?test=inf", {}, "test", "inf", "fraction"),
    ("both leave nothing", "digits?valid=0.5&test=0.5", {}, "valid+test", "1.0", "below 1"),
    ("task unknown", "digits?task=clasify", {}, "task", "clasify", "did you mean 'classify'"),
    ("task of language models", "digits?task=lm", {}, "task", "lm", "one of"),
    ("a place behind digits", "digits:0", {}, "data", "digits:0", ""),
    ("size is 0", "folder:p?size=0", pictures(), "size", "0", "whole number"),
    ("size is huge", "folder:p?size=99999", pictures(), "size", "99999", "whole number"),
]
TABLES: list[tuple[str, str, Files, str, str, str]] = [
    ("csv missing", "csv:no.csv", {}, "file", "no.csv", "exists"),
    ("csv is a folder without files", "csv:f", {"f": None}, "folder", "f", "train.csv"),
    ("csv links in a circle", "csv:a.csv", {"a.csv": "->b.csv", "b.csv": "->a.csv"}, "file", "a.csv", ""),
    ("csv link to nothing", "csv:a.csv", {"a.csv": "->gone"}, "file", "a.csv", "exists"),
    ("csv empty", "csv:a.csv", {"a.csv": ""}, "file", "a.csv", ""),
    ("csv of a header", "csv:a.csv", {"a.csv": "a,label\n"}, "file", "a.csv", "at least one row"),
    ("csv of one row", "csv:a.csv", {"a.csv": "a,label\n1,0\n"}, "rows", "1", "enough labelled rows"),
    ("csv of two rows", "csv:a.csv", {"a.csv": "a,label\n1,0\n2,1\n"}, "rows", "2", "enough labelled rows"),
    ("csv of spaces", "csv:a.csv", {"a.csv": "   \n  \n"}, "", "", ""),
    ("csv ragged", "csv:a.csv", {"a.csv": csv() + "1,2,3,4,5\n"}, "file", "a.csv", "readable as csv"),
    ("an option twice", "digits?limit=300&limit=400", {}, "address", "limit=300", "each once"),
    ("csv all rows longer than the header", "csv:a.csv", {"a.csv": "a,label\n" + "1,9,0\n2,9,1\n" * 20}, "", "", ""),
    ("csv short rows", "csv:a.csv", {"a.csv": "a,b,label\n" + "1,2\n" * 40}, "train labels", "40 of 40", "a label"),
    ("csv latin-1", "csv:a.csv", {"a.csv": csv(c="é").encode("latin-1")}, "file", "a.csv", "readable as csv"),
    ("csv utf-16", "csv:a.csv", {"a.csv": csv().encode("utf-16")}, "file", "a.csv", "readable as csv"),
    ("csv zero bytes", "csv:a.csv", {"a.csv": b"\0" * 200}, "", "", ""),
    ("csv is a picture", "csv:a.csv", {"a.csv": png()}, "", "", ""),
    ("csv is a zip", "csv:a.csv", {"a.csv": _zip(a=b"1")}, "", "", ""),
    ("csv with semicolons", "csv:a.csv", {"a.csv": csv().replace(",", ";")}, "target", "None", "a column"),
    ("csv open quote", "csv:a.csv", {"a.csv": csv() + '"1,2,3\n'}, "", "", ""),
    ("csv.gz isn't", "csv:a.csv.gz", {"a.csv.gz": csv()}, "file", "a.csv.gz", "readable as csv"),
    ("csv.gz cut", "csv:a.csv.gz", {"a.csv.gz": gzip.compress(csv(400).encode())[:-20]}, "file", "a.csv.gz", "readable as csv"),
    ("csv same column twice", "csv:a.csv", {"a.csv": "a,a,label\n" + "1,2,0\n3,4,1\n" * 20}, "column", "a", "once"),
    ("csv target unknown", "csv:a.csv?target=lable", {"a.csv": csv()}, "target", "lable", "did you mean 'label'"),
    ("csv no target", "csv:a.csv", {"a.csv": csv().replace("label", "kind")}, "target", "None", "a column: a, b, kind"),
    ("csv text unknown", "csv:a.csv?text=txt", {"a.csv": csv()}, "text", "txt", "a column"),
    ("csv text is the target", "csv:a.csv?text=label", {"a.csv": csv()}, "text", "label", ""),
    ("csv one class", "csv:a.csv", {"a.csv": csv(label=1)}, "classes", "['1']", "at least two"),
    ("csv no label at all", "csv:a.csv", {"a.csv": csv(label=np.nan)}, "train labels", "40 of 40", "a label"),
    ("csv nothing but the target", "csv:a.csv", {"a.csv": "label\n" + "0\n1\n" * 20}, "columns", "[]", "at least one"),
    ("csv infinite", "csv:a.csv", {"a.csv": csv(c=np.inf)}, "column", "c", "finite"),
    ("csv too large", "csv:a.csv", {"a.csv": csv(c=1e300)}, "column", "c", "1e+30"),
    ("csv huge whole numbers", "csv:a.csv", {"a.csv": csv(c="9" * 400)}, "column", "c", ""),
    ("csv empty column", "csv:a.csv", {"a.csv": csv(c=np.nan)}, "column", "c", "a value in some training row"),
    ("csv many words", "csv:a.csv", {"a.csv": csv(400, c=[f"w{i}" for i in range(400)])}, "column", "c", "at most 100"),
    ("csv words for regress", "csv:a.csv?task=regress", {"a.csv": csv(label=["x", "y"] * 20)}, "label", "x", "a number"),
    ("csv infinite label", "csv:a.csv?task=regress", {"a.csv": csv(label=np.inf)}, "train labels", "infinite", "finite"),
    (
        "csv every label another",
        "csv:a.csv?task=classify",
        {"a.csv": csv(label=np.arange(40))},
        "label",
        "",
        "a class with labelled training rows",
    ),
    (
        "csv test without a column",
        "csv:f",
        {"f/train.csv": csv(), "f/test.csv": "a,label\n1,0\n"},
        "test columns",
        "a",
        "'b' is missing",
    ),
    ("csv test of another class", "csv:f", {"f/train.csv": csv(), "f/test.csv": csv(label=5)}, "test label", "5", "a class"),
    (
        "csv test without labels",
        "csv:f",
        {"f/train.csv": csv(), "f/test.csv": csv(label=np.nan)},
        "test labels",
        "40 of 40",
        "a label",
    ),
    ("csv test of words", "csv:f", {"f/train.csv": csv(), "f/test.csv": csv(a="x")}, "column", "a", "numbers"),
    ("csv train is a folder", "csv:f", {"f/train.csv": None}, "folder", "f", "train.csv"),
    ("jsonl empty", "jsonl:a.jsonl", {"a.jsonl": ""}, "file", "a.jsonl", "at least one row"),
    ("jsonl broken", "jsonl:a.jsonl", {"a.jsonl": ROWS + "\n{"}, "file", "a.jsonl", "line 41"),
    ("jsonl of lists", "jsonl:a.jsonl", {"a.jsonl": "[1]\n[2]"}, "file", "a.jsonl", "a JSON object a line"),
    ("jsonl of numbers", "jsonl:a.jsonl", {"a.jsonl": "1\n2"}, "file", "a.jsonl", "a JSON object a line"),
    ("jsonl one array", "jsonl:a.json", {"a.json": f"[{ROWS.replace(chr(10), ',')}]"}, "file", "a.json", "a JSON object a line"),
    ("jsonl pretty", "jsonl:a.json", {"a.json": json.dumps({"a": 1, "label": 0}, indent=1)}, "file", "a.json", "line 1"),
    ("jsonl latin-1", "jsonl:a.jsonl", {"a.jsonl": '{"a": "é"}'.encode("latin-1")}, "file", "a.jsonl", "readable as jsonl"),
    ("jsonl deep", "jsonl:a.jsonl", {"a.jsonl": "[" * 100_000 + "]" * 100_000}, "file", "a.jsonl", ""),
    (
        "jsonl nested",
        "jsonl:a.jsonl",
        {"a.jsonl": "\n".join(json.dumps({"a": {"b": i}, "label": i % 2}) for i in range(40))},
        "column",
        "a",
        "numbers or words",
    ),
    (
        "jsonl mixed",
        "jsonl:a.jsonl",
        {"a.jsonl": "\n".join(json.dumps({"a": [i, str(i)][i % 2], "label": i % 2}) for i in range(40))},
        "column",
        "a",
        "numbers or words",
    ),
    (
        "jsonl huge whole number",
        "jsonl:a.jsonl",
        {"a.jsonl": ROWS.replace('"a": 3,', '"a": ' + "9" * 500 + ",")},
        "column",
        "a",
        "",
    ),
    (
        "jsonl digits beyond Python",
        "jsonl:a.jsonl",
        {"a.jsonl": ROWS.replace('"a": 3,', '"a": ' + "9" * 5000 + ",")},
        "file",
        "a.jsonl",
        "",
    ),
    ("jsonl no number", "jsonl:a.jsonl", {"a.jsonl": ROWS.replace('"a": 3,', '"a": Infinity,')}, "column", "a", "finite"),
    (
        "jsonl lists of labels for classify",
        "jsonl:a.jsonl?task=classify",
        {"a.jsonl": "\n".join(json.dumps({"a": i, "label": [1, 2]}) for i in range(40))},
        "label",
        "[1, 2]",
        "multilabel",
    ),
    (
        "jsonl objects for labels",
        "jsonl:a.jsonl",
        {"a.jsonl": "\n".join(json.dumps({"a": i, "label": {"x": i % 2}}) for i in range(40))},
        "label",
        "{'x'",
        "a single value",
    ),
    (
        "jsonl text of numbers",
        "jsonl:a.jsonl?text=a",
        {"a.jsonl": "\n".join(json.dumps({"a": None, "label": i % 2}) for i in range(40))},
        "text",
        "a",
        "",
    ),
    (
        "jsonl half a character",
        "jsonl:a.jsonl?text=a",
        {"a.jsonl": "\n".join(json.dumps({"a": "\ud800 x", "label": f"\ud800{i % 2}"}) for i in range(40))},
        "",
        "",
        "",
    ),
    ("parquet isn't", "parquet:a.parquet", {"a.parquet": csv()}, "file", "a.parquet", "readable as parquet"),
    ("parquet empty", "parquet:a.parquet", {"a.parquet": b""}, "file", "a.parquet", "readable as parquet"),
    (
        "parquet head only",
        "parquet:a.parquet",
        {"a.parquet": b"PAR1" + b"\xff" * 60 + b"PAR1"},
        "file",
        "a.parquet",
        "readable as parquet",
    ),
    ("parquet without rows", "parquet:a.parquet", {"a.parquet": table(0)}, "file", "a.parquet", "at least one row"),
    ("parquet of one row", "parquet:a.parquet", {"a.parquet": table(1)}, "rows", "1", "enough labelled rows"),
    ("parquet dates", "parquet:a.parquet", {"a.parquet": table(c=pd.Timestamp("2020-01-01"))}, "column", "c", "numbers or words"),
    ("parquet bytes", "parquet:a.parquet", {"a.parquet": table(c=b"ab")}, "column", "c", "numbers or words"),
    ("parquet lists", "parquet:a.parquet", {"a.parquet": table(c=[[1, 2]] * 40)}, "column", "c", "numbers or words"),
]
ARRAYS: list[tuple[str, str, Files, str, str, str]] = [
    ("npz isn't", "npz:a.npz", {"a.npz": csv()}, "file", "a.npz", "readable as npz"),
    ("npz empty", "npz:a.npz", {"a.npz": b""}, "file", "a.npz", "readable as npz"),
    ("npz of other files", "npz:a.npz", {"a.npz": _zip(a=b"hello")}, "file", "a.npz", ""),
    ("npz broken inside", "npz:a.npz", {"a.npz": _zip(**{"X.npy": b"\x93NUMPY\x01\x00\xff\xff"})}, "file", "a.npz", "readable as npz"),
    ("npz pickled", "npz:a.npz", {"a.npz": _pickled()}, "file", "a.npz", "without pickled objects"),
    ("npz other names", "npz:a.npz", {"a.npz": {"data": X, "labels": Y}}, "file", "a.npz", "X and y"),
    ("npz no y", "npz:a.npz", {"a.npz": {"X": X}}, "file", "a.npz", "y beside x"),
    ("npz fewer labels", "npz:a.npz", {"a.npz": {"X": X, "y": Y[:30]}}, "y", "[30]", "[40]"),
    ("npz one dimension", "npz:a.npz", {"a.npz": {"X": X[:, 0], "y": Y}}, "x", "float64", "numbers [N,D]"),
    ("npz five dimensions", "npz:a.npz", {"a.npz": {"X": np.zeros((4, 1, 1, 1, 1)), "y": Y[:4]}}, "x", "float64", "numbers [N,D]"),
    ("npz words", "npz:a.npz", {"a.npz": {"X": X.astype(str), "y": Y}}, "x", "<U", "numbers [N,D]"),
    ("npz complex", "npz:a.npz", {"a.npz": {"X": X + 1j, "y": Y}}, "x", "complex", "numbers [N,D]"),
    ("npz no rows", "npz:a.npz", {"a.npz": {"X": X[:0], "y": Y[:0]}}, "", "", ""),
    ("npz no columns", "npz:a.npz", {"a.npz": {"X": X[:, :0], "y": Y}}, "columns", "[]", "at least one"),
    ("npz not a number", "npz:a.npz", {"a.npz": {"X": np.full((40, 4, 4), np.nan), "y": Y}}, "pictures", "NaN", "finite"),
    ("npz infinite", "npz:a.npz", {"a.npz": {"X": X + np.inf, "y": Y}}, "column", "x0", "finite"),
    ("npz pictures without a side", "npz:a.npz", {"a.npz": {"X": np.zeros((40, 0, 4)), "y": Y}}, "x", "", ""),
    ("npz test of another size", "npz:a.npz", {"a.npz": {"x_train": np.zeros((40, 4, 4)), "y_train": Y, "x_test": np.zeros((9, 5, 5)), "y_test": Y[:9]}}, "test pictures", "[1, 5, 5]", "[1, 4, 4]"),
    ("npz test is a table", "npz:a.npz", {"a.npz": {"x_train": np.zeros((40, 4, 4)), "y_train": Y, "x_test": X[:9], "y_test": Y[:9]}}, "", "", ""),
    ("npz y three dimensions", "npz:a.npz", {"a.npz": {"X": X, "y": np.zeros((40, 2, 2))}}, "y", "[40, 2, 2]", "[40]"),
    ("npz y of dates", "npz:a.npz", {"a.npz": {"X": X, "y": np.array(["2020-01-01"] * 40, "datetime64[D]")}}, "", "", ""),
    ("npz a folder", "npz:f", {"f": None}, "file", "f", ""),
    ("folder missing", "folder:p", {}, "folder", "p", "exists"),
    ("folder is a file", "folder:p", {"p": "x"}, "folder", "p", "folders named after classes"),
    ("folder empty", "folder:p", {"p": None}, "folder", "p", "folders named after classes"),
    ("folder flat", "folder:p", {f"p/{i}.png": png() for i in range(9)}, "folder", "p", "folders named after classes"),
    ("folder of one class", "folder:p", pictures(("cat",), 30), "classes", "cat", "at least two"),
    ("folder of one picture each", "folder:p", pictures(n=1), "rows", "2", "enough labelled rows"),
    ("folder of sizes", "folder:p", pictures() | {"p/cat/x.png": png(9)}, "size", "9x9", "one size"),
    ("picture empty", "folder:p", pictures() | {"p/cat/x.png": b""}, "file", "x.png", "a picture"),
    ("picture is text", "folder:p", pictures() | {"p/cat/x.png": "hello"}, "file", "x.png", "a picture"),
    ("picture cut", "folder:p", pictures() | {"p/cat/x.png": png(60)[:-30]}, "file", "x.png", "a picture"),
    ("picture flipped", "folder:p", pictures() | {"p/cat/x.png": png()[:40] + b"\xff\xff" + png()[42:]}, "file", "x.png", "a picture"),
    ("picture is a folder", "folder:p", pictures() | {"p/cat/x.png": None}, "file", "x.png", "a picture"),
    ("picture is a link to nothing", "folder:p", pictures() | {"p/cat/x.png": "->gone.png"}, "file", "x.png", ""),
    ("picture links in a circle", "folder:p", pictures() | {"p/cat/x.png": "->y.png", "p/cat/y.png": "->x.png"}, "file", "x.png", ""),
    ("test of another class", "folder:p", {f"p/train/{c}/{i}.png": png() for c in "ab" for i in range(9)} | {"p/test/c/0.png": png()}, "test label", "c", "a class"),
    ("test of another size", "folder:p", {f"p/train/{c}/{i}.png": png() for c in "ab" for i in range(9)} | {"p/test/a/0.png": png(9)}, "test pictures", "[1, 9, 9]", "[1, 6, 6]"),
    ("test in colour", "folder:p", {f"p/train/{c}/{i}.png": png() for c in "ab" for i in range(9)} | {"p/test/a/0.png": png(mode="RGB")}, "test pictures", "[3, 6, 6]", "[1, 6, 6]"),
    ("idx missing", "idx:m", {}, "folder", "m", "exists"),
    ("idx empty folder", "idx:m", {"m": None}, "folder", "m", "train-images"),
    ("idx no labels", "idx:m", mnist(train_y=None), "folder", "m", "train-labels"),
    ("idx empty", "idx:m", mnist(train_x=b""), "file", "train-images", "readable as IDX"),
    ("idx another kind", "idx:m", mnist(train_x=png()), "file", "train-images", "readable as IDX"),
    ("idx cut", "idx:m", mnist(train_x=_idx(np.zeros((20, 4, 4), np.uint8))[:-9]), "file", "train-images", "readable as IDX"),
    ("idx too long", "idx:m", mnist(train_x=_idx(np.zeros((20, 4, 4), np.uint8)) + b"x"), "file", "train-images", "readable as IDX"),
    ("idx claims too much", "idx:m", mnist(train_x=struct.pack(">4I", 0x803, 2**32 - 1, 2**32 - 1, 2**32 - 1)), "", "train-images", ""),
    ("idx fewer labels", "idx:m", mnist(train_y=_idx(np.zeros(7, np.uint8))), "labels", "7", "20"),
    ("idx no rows", "idx:m", mnist(train_x=_idx(np.zeros((0, 4, 4), np.uint8)), train_y=_idx(np.zeros(0, np.uint8))), "", "", ""),
    ("idx one class", "idx:m", mnist(train_y=_idx(np.zeros(20, np.uint8)), test_y=_idx(np.zeros(20, np.uint8))), "classes", "0", "at least two"),
    ("idx a file", "idx:m", {"m": "x"}, "folder", "m", "train-images"),
    ("hub missing", "hf:nowhere", {}, "hf", "nowhere", "loadable"),
    ("hub empty folder", "hf:h", {"h": None}, "hf", "h", ""),
    ("hub without train", "hf:h", {"h/test.csv": csv()}, "hf", "h", "train"),
    ("hub broken csv", "hf:h", {"h/train.csv": csv() + "1,2,3,4,5,6\n"}, "hf", "h", "loadable"),
    ("hub broken json", "hf:h", {"h/train.jsonl": ROWS + "\n{"}, "hf", "h", "loadable"),
    ("hub saved and damaged", "hf:h", {"h/dataset_dict.json": "{"}, "hf", "h", "loadable"),
    ("hub saved without its parts", "hf:h", {"h/dataset_dict.json": '{"splits": ["train"]}'}, "hf", "h", "loadable"),
    ("hub state of numbers", "hf:h", {"h/state.json": "3"}, "hf", "h", "loadable"),
    ("hub an archive", "hf:h", {"h/train.zip": _zip(a=b"1")}, "hf", "h", "a folder of"),
    ("hub a card that can't be read", "hf:h", {"h/train.csv": csv(), "h/README.md": "---\nconfigs: [\n---\n"}, "hf", "README.md", "YAML"),
    ("hub config unknown", "hf:h?config=other", {"h/train.csv": csv()}, "hf", "h", "loadable"),
    ("hub target unknown", "hf:h?target=kind", {"h/train.csv": csv()}, "target", "kind", "a column"),
    ("hub no address", "hf:", {}, "hf", "''", "loadable"),
]  # fmt: skip


def cases() -> Iterator[Case]:
    for name, address, files, field, value, allowed in (*ADDRESSES, *TABLES, *ARRAYS):
        yield Case(name, load(address, files), field, value, allowed, free=not field)
    for name, options, field in (
        ("target is a number", {"target": 3}, "target"), ("text is a number", {"text": 3}, "text"), ("task is a number", {"task": 3}, "task"),
        ("limit is a boolean", {"limit": True}, "limit"), ("limit is a half", {"limit": 2.5}, "limit"), ("limit is 0", {"limit": 0}, "limit"),
        ("seed is text", {"seed": "x"}, "seed"), ("valid is nothing", {"valid": None}, "valid"), ("valid is a boolean", {"valid": True}, "valid"),
        ("length is 0", {"length": 0}, "length"), ("test is a list", {"test": [1]}, "test"),
    ):  # fmt: skip
        yield Case(f"load({name})", load("csv:a.csv", {"a.csv": csv()}, **options), field)
    for given in (3, None, b"digits", ["digits"], Path("rows.csv")):
        yield Case(
            f"load({given!r})",
            lambda _, g=given: lambda: data.load(g),
            "address",
            str(given) if not isinstance(given, Path) else "rows.csv",
        )  # type: ignore[misc]


CASES = list(cases())
