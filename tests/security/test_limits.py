"""Small files that unpack to much, and data folders that point elsewhere, are refused before anything is spent on them."""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import subprocess
import tarfile
import threading
import tracemalloc
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from security.traps import png, zeros
from understudy import data
from understudy.core.errors import Refused
from understudy.data import chats, limits

MB = 10**6


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte, and not twenty times the file."""
    monkeypatch.setenv(limits.SETTING, "unpacked=1MB, line=100KB,pixels=10000")
    monkeypatch.setattr(limits, "TIMES", 0)


def spent(read: Any) -> tuple[int, Refused]:
    """Bytes that were held at most before it was refused."""
    tracemalloc.start()
    try:
        with pytest.raises(Refused) as e:
            read()
        return tracemalloc.get_traced_memory()[1], e.value
    finally:
        tracemalloc.stop()


def test_zeros_that_fill_the_memory(tmp_path: Path) -> None:
    """Ten gigabytes of zeros: the head is asked, not the data. Only the size in the archive's list is made up; a reader believes it."""
    path = zeros(tmp_path / "x.npz", 10**6)
    whole = bytearray(path.read_bytes())
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|i1", "fortran_order": False, "shape": (4 * 10**9, 1)})
    size = 4 * 10**9 + header.tell()
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("x_train.npy", "x_valid.npy", "x_test.npy"):
            archive.writestr(name, header.getvalue())
    whole = bytearray(path.read_bytes())
    at = 0
    while (at := whole.find(b"PK\x01\x02", at)) >= 0:  # the archive's list
        struct.pack_into("<I", whole, at + 24, size)
        at += 4
    path.write_bytes(whole)
    most, e = spent(lambda: data.load(f"npz:{path}"))
    assert most < 5 * MB
    assert "at most 4,294,967,296 bytes (unpacked); it asks for 8,000,000,000" in str(e)
    assert f"set {limits.SETTING}=unpacked=8000000000" in str(e)


def test_zeros_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zeros(tmp_path / "x.npz", 100 * MB)
    assert path.stat().st_size < MB
    monkeypatch.setenv(limits.SETTING, "unpacked=20MB")
    most, e = spent(lambda: data.load(f"npz:{path}"))
    assert most < 5 * MB
    assert "100,000," in str(e)


@pytest.mark.parametrize("change", ["shape", "dtype", "object", "cut", "encrypted", "version"])
def test_an_array_that_is_not_what_its_head_tells(change: str, tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, x=np.arange(24.0).reshape(12, 2), y=np.arange(12) % 2)
    with zipfile.ZipFile(path) as archive:
        held = {n: archive.read(n) for n in archive.namelist()}
    x = held["x.npy"]
    held["x.npy"] = {"shape": x.replace(b"(12, 2)", b"(9**9,)"), "dtype": x.replace(b"<f8", b"<f4"), "object": x.replace(b"'<f8'", b"'|O' "),
                     "cut": x[:-8], "encrypted": x, "version": x[:6] + b"\x09" + x[7:]}[change]  # fmt: skip
    with zipfile.ZipFile(path, "w") as archive:
        for name, said in held.items():
            archive.writestr(name, said)
    if change == "encrypted":
        whole = bytearray(path.read_bytes())
        whole[whole.index(b"PK\x01\x02") + 8] |= 1
        path.write_bytes(whole)
    with pytest.raises(Refused):
        data.load(f"npz:{path}")


def test_names_in_an_archive_are_only_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    file = io.BytesIO()
    np.savez(file, x=np.random.default_rng(0).normal(size=(40, 2)), y=np.arange(40) % 2)
    with zipfile.ZipFile(file) as archive:
        held = {n: archive.read(n) for n in archive.namelist()}
    path = Path("x.npz")
    with zipfile.ZipFile(path, "w") as archive:
        for name, said in held.items():
            archive.writestr(name, said)
        for name in ("../out.npy", "/tmp/out-of-this-test.npy", "a/../../../out.npy"):
            archive.writestr(name, held["y.npy"])
    assert len(data.load(f"npz:{path}").train)
    path.unlink()
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert not os.path.exists("/tmp/out-of-this-test.npy")


@pytest.mark.usefixtures("little")
def test_packed_tables(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "x.csv.gz", "wb") as f:
        f.write(b"x,y\n" + b"1,0\n2,1\n" * 1_000_000)
    most, e = spent(lambda: data.load(f"csv:{tmp_path / 'x.csv.gz'}"))
    assert "at most 1,000,000 bytes" in str(e)
    assert most < 60 * MB
    for name, table in {
        "numbers": pa.table({"x": np.zeros(10**6), "y": np.zeros(10**6, np.int64)}),
        "words": pa.table(
            {
                "x": pa.DictionaryArray.from_arrays(pa.array(np.zeros(50_000, np.int32)), ["w" * 100_000]),
                "y": np.zeros(50_000, np.int32),
            }
        ),
        "lists": pa.table({"x": [[0] * 1000] * 500, "y": [0] * 500}),
    }.items():
        path = tmp_path / f"{name}.parquet"
        parquet.write_table(table, path)
        assert path.stat().st_size < MB
        for read in (lambda p=path: data.load(f"parquet:{p}"), lambda p=path: chats.load(f"parquet:{p}", None)):
            with pytest.raises(Refused, match=r"at most 1,000,000 bytes \(unpacked\)"):
                read()
    (tmp_path / "rows").mkdir()
    parquet.write_table(pa.table({"x": np.zeros(10**6), "y": np.zeros(10**6, np.int64)}), tmp_path / "rows" / "train.parquet")
    with pytest.raises(Refused, match="at most 1,000,000 bytes"):
        data.load(f"hf:{tmp_path / 'rows'}")


@pytest.mark.usefixtures("little")
def test_a_few_words_said_often_are_measured_as_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many rows of a table with words from a short list are no bomb."""
    monkeypatch.setenv(limits.SETTING, "unpacked=3MB")
    frame = pd.DataFrame({"x": ["red", "green"] * 50_000, "y": [0, 1] * 50_000})
    frame.to_parquet(tmp_path / "x.parquet")
    assert data.load(f"parquet:{tmp_path / 'x.parquet'}").columns == ("x=green", "x=red")


@pytest.mark.usefixtures("little")
def test_packed_pictures_of_mnist(tmp_path: Path) -> None:
    for stem, dims, shape in (
        ("train-images", 3, (10_000, 28, 28)),
        ("train-labels", 1, (10_000,)),
        ("t10k-images", 3, (10, 28, 28)),
        ("t10k-labels", 1, (10,)),
    ):
        with gzip.open(tmp_path / f"{stem}-idx{dims}-ubyte.gz", "wb") as f:
            f.write(struct.pack(f">{dims + 1}I", 0x800 + dims, *shape) + bytes(int(np.prod(shape))))
    most, e = spent(lambda: data.load(f"idx:{tmp_path}"))
    assert "at most 1,000,000 bytes (unpacked); it asks for 7,840,000" in str(e)
    assert most < MB


@pytest.mark.parametrize("scheme", ["jsonl", "chats"])
def test_a_line_of_a_gigabyte_and_one_that_is_deep(scheme: str, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    read = (lambda: data.load(f"jsonl:{path}")) if scheme == "jsonl" else (lambda: chats.load(f"jsonl:{path}", None))
    with open(path, "wb") as f:
        f.truncate(2**30)
    most, e = spent(read)
    assert "at most 67,108,864 bytes (line); it asks for 1,073,741,824" in str(e)
    assert most < 200 * MB
    path.write_text('{"x": 1, "y": 0}\n' + '{"x": ' + "[" * 100_000 + "]" * 100_000 + "}\n")
    with pytest.raises(Refused, match="2"):
        read()


@pytest.mark.usefixtures("little")
def test_rows_whose_columns_multiply(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("".join(json.dumps({"y": i % 2, f"c{i}": 1}) + "\n" for i in range(3000)))
    with pytest.raises(Refused, match="at most 1,000,000 bytes"):
        data.load(f"jsonl:{tmp_path / 'x.jsonl'}")
    (tmp_path / "x.csv").write_text("x,y\n" + "".join(f"{i},{i % 300}|{(i + 1) % 300}\n" for i in range(3000)))
    with pytest.raises(Refused, match="at most 1,000,000 bytes"):
        data.load(f"csv:{tmp_path / 'x.csv'}?task=multilabel")


def test_lines_end_where_json_says(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes('{"text": "a\u2028b\u0085c"}\r\n\n{"text": "d"}'.encode())
    assert [(n, json.loads(line)["text"]) for n, line in limits.lines(path)] == [(1, "a\u2028b\u0085c"), (3, "d")]


# pictures ------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        (tmp_path / "all" / name).mkdir(parents=True)
        for i in range(10):
            Image.new("L", (8, 8), i).save(tmp_path / "all" / name / f"{i}.png")
    return tmp_path / "all"


def test_a_picture_of_fifty_thousand_by_fifty_thousand(folder: Path) -> None:
    png(folder / "a" / "x.png", 50_000, 40)
    whole = bytearray((folder / "a" / "x.png").read_bytes())
    whole[20:24] = (50_000).to_bytes(4)  # its height, as it claims
    import zlib

    whole[29:33] = zlib.crc32(whole[12:29]).to_bytes(4)
    (folder / "a" / "x.png").write_bytes(whole)
    with pytest.raises(
        Refused,
        match=r"at most 67,108,864 pixels \(pixels\); it asks for 2,500,000,000; if you trust it, set UNDERSTUDY_LIMITS=pixels=2500000000",
    ):
        data.load(f"folder:{folder}?size=8")


def test_many_large_pictures(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        for path in (folder / name).iterdir():
            png(path, 2000, 1000)
    monkeypatch.setenv(limits.SETTING, "unpacked=10MB")
    with pytest.raises(Refused, match=r"at most 10,000,000 bytes \(unpacked\)"):
        data.load(f"folder:{folder}")
    assert data.load(f"folder:{folder}?size=8").shape == (1, 8, 8), "brought to a size they are small"


@pytest.mark.parametrize(
    "text",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n",
        b"\x1bLua",
        b"#!/bin/sh\ntouch x\n",
        b"<svg/>",
    ],
)
def test_what_runs_is_no_picture(text: bytes, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PIL would give a page description to an interpreter."""
    (folder / "a" / "x.png").write_bytes(text)
    for name in ("Popen", "run", "check_call", "check_output"):
        monkeypatch.setattr(subprocess, name, lambda *a, **k: pytest.fail("a program was started"))
    with pytest.raises(Refused, match="x.png"):
        data.load(f"folder:{folder}")


def test_the_setting_is_read_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(limits.SETTING, "unpacked=2GB,pixels=5")
    assert (limits.limit("unpacked"), limits.limit("pixels"), limits.limit("line")) == (2 * 10**9, 5, limits.USUAL["line"])
    for wrong in (
        "much",
        "unpacked=",
        "unpacked=-1",
        "unpacked=1e9",
        "memory=5",
        "unpacked=1GB;line=2",
        "unpacked=99999999999999999999",
    ):
        monkeypatch.setenv(limits.SETTING, wrong)
        with pytest.raises(Refused, match=limits.SETTING):
            limits.limit("unpacked")
    (tmp_path / "x").write_bytes(bytes(1000))
    monkeypatch.setenv(limits.SETTING, "unpacked=10")
    assert limits.room(tmp_path / "x") == 1000 * limits.TIMES, "a large file may unpack to more"


# data sets in the hub's format ---------------------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[str]]]:
    """A server that notes what is asked of it."""
    asked: list[str] = []

    class Noted(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"text,label\nremote,1\n")

        do_HEAD = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Noted)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "rows").mkdir()
    pd.DataFrame({"text": ["good", "bad"] * 20, "label": ["a", "b"] * 20}).to_csv(tmp_path / "rows" / "train.csv", index=False)
    return tmp_path / "rows"


@pytest.mark.parametrize(
    "path",
    [
        "{url}/x.csv",
        "zip://x.csv::{url}/x.zip",
        "../secret.csv",
        "/etc/passwd",
        "~/x.csv",
        "data/../../x.csv",
        "file:///etc/passwd",
    ],
)
@pytest.mark.parametrize("card", ["README.md", ".huggingface.yaml"])
def test_a_data_folder_fetches_nothing(path: str, card: str, rows: Path, elsewhere: tuple[str, list[str]]) -> None:
    url, asked = elsewhere
    said = json.dumps({"configs": [{"config_name": "default", "data_files": [{"split": "train", "path": path.format(url=url)}]}]})
    (rows / card).write_text(f"---\n{said}\n---\n# rows\n" if card == "README.md" else said)
    for read in (lambda: data.load(f"hf:{rows}"), lambda: chats.load(f"hf:{rows}", None)):
        with pytest.raises(Refused, match="a path inside of the folder"):
            read()
    assert not asked
    (rows / card).unlink()
    assert data.load(f"hf:{rows}").classes == ("a", "b")


@pytest.mark.parametrize("name", ["train.zip", "x.tar", "train.csv.gz", "a.zst", "x.h5", "x.pkl", "x.npy"])
def test_a_data_folder_holds_no_archives(name: str, rows: Path) -> None:
    with tarfile.open(rows / name, "w") as archive:
        told = tarfile.TarInfo("../../out.csv")
        archive.addfile(told, io.BytesIO())
    with pytest.raises(Refused, match="unpack it, or take it out"):
        data.load(f"hf:{rows}")
    assert not (rows.parent / "out.csv").exists()


def test_a_data_folder_has_no_links_out_of_it(rows: Path) -> None:
    secret = rows.parent / "secret.csv"
    secret.write_text("text,label\nsecret,a\n")
    (rows / "valid.csv").symlink_to(secret)
    with pytest.raises(Refused, match="a link to somewhere else"):
        data.load(f"hf:{rows}")


def test_pictures_in_rows_are_in_the_folder(tmp_path: Path, elsewhere: tuple[str, list[str]]) -> None:
    import datasets

    url, asked = elsewhere
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    (tmp_path / "secret.png").write_bytes(file.getvalue())
    good: dict[str, Any] = {"bytes": file.getvalue(), "path": None}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    for name, last in {"good": good, "path": {"bytes": None, "path": str(tmp_path / "secret.png")}, "url": {"bytes": None, "path": f"{url}/x.png"},
                       "page": {"bytes": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", "path": None}, "none": None}.items():  # fmt: skip
        made = datasets.Dataset.from_dict(
            {"image": [good] * 39 + [last], "label": [0, 1] * 20},
            datasets.Features(
                {"image": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}, "label": features["label"]}
            ),
        )
        table = made.cast(features).with_format("arrow").data.table
        datasets.Dataset.from_dict({"image": [good], "label": [0]}, features).save_to_disk(str(tmp_path / name))
        with (
            pa.OSFile(str(tmp_path / name / "data-00000-of-00001.arrow"), "wb") as out,
            pa.ipc.new_stream(out, table.schema) as writer,
        ):
            writer.write_table(table)  # as it is: `save_to_disk` would put the pictures in
        if name == "good":
            assert data.load(f"hf:{tmp_path / name}").shape == (3, 8, 8)
        else:
            with pytest.raises(Refused):
                data.load(f"hf:{tmp_path / name}")
    assert not asked
