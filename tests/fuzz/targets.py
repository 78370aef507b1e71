"""Every reader of outside files, what it is given when all is well, and what it may raise."""

from __future__ import annotations

import contextlib
import functools
import gzip
import io
import json
import random
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from understudy.core.errors import Refused

Files = dict[str, bytes]


@dataclass(frozen=True)
class Target:
    """seeds: good inputs, each some files by name. read: does with the folder that holds them what a user's command would do. may: raised besides
    `Refused`. again: makes sums over the bytes right once more, after a change, so that the change is seen by who reads behind them. apart: reads of one
    second that are counted as one, for slow ones."""

    seeds: Callable[[], list[Files]]
    read: Callable[[Path], Any]
    may: tuple[type[BaseException], ...] = ()
    again: Callable[[str, bytes], bytes] | None = None
    fixed: tuple[str, ...] = field(default=())  # files that are left as they are


TARGETS: dict[str, Target] = {}


def one(name: str, seeds: Callable[[], list[bytes]], read: Callable[[Path], Any], **more: Any) -> None:
    """A target of one file, whose name is behind the slash: `csv/rows.csv`."""
    target, _, file = name.partition("/")
    TARGETS[target] = Target(lambda: [{file: s} for s in seeds()], lambda folder: read(folder / file), **more)


# what is in the files ---------------------------------------------------------------------------------------------------------------


def _csv() -> bytes:
    return ("a,b,label\n" + "".join(f"{i},{i % 5}.5,{'xy'[i % 2]}\n" for i in range(24))).encode()


def _jsonl() -> bytes:
    return "\n".join(json.dumps({"a": i, "b": [None, "x"][i % 2], "label": i % 2}) for i in range(24)).encode()


def _texts() -> bytes:
    return "\n".join(json.dumps({"text": f"words {i}", "label": ["a", "b"][i % 2]}) for i in range(24)).encode()


def _many() -> bytes:
    return "\n".join(json.dumps({"a": i, "label": ["a", "b"][: i % 3]}) for i in range(24)).encode()


def _parquet() -> list[bytes]:
    import pandas as pd

    made = []
    for codec in ("snappy", "gzip", None):
        out = io.BytesIO()
        pd.DataFrame({"a": np.arange(24.0), "c": ["u", "v"] * 12, "label": np.arange(24) % 2}).to_parquet(out, compression=codec)
        made.append(out.getvalue())
    return made


def _npz() -> list[bytes]:
    made = []
    for x in (np.arange(72.0).reshape(24, 3), np.zeros((24, 4, 4), np.uint8), np.zeros((24, 4, 4, 3), np.float32)):
        out = io.BytesIO()
        (np.savez if x.ndim < 4 else np.savez_compressed)(out, X=x, y=np.arange(24) % 2)
        made.append(out.getvalue())
    return made


def _idx() -> list[Files]:
    def of(a: Any) -> bytes:
        return bytes(struct.pack(f">{a.ndim + 1}I", 0x800 + a.ndim, *a.shape) + a.tobytes())

    files = {}
    for stem in ("train", "t10k"):
        files |= {
            f"{stem}-images-idx3-ubyte": of(np.zeros((20, 4, 4), np.uint8)),
            f"{stem}-labels-idx1-ubyte": of(np.arange(20, dtype=np.uint8) % 2),
        }
    return [files, {f"{k}.gz": gzip.compress(v, mtime=0) for k, v in files.items()}]


def _pictures() -> list[Files]:
    from PIL import Image

    made = []
    for kind, ending, mode in (("PNG", "png", "RGB"), ("PNG", "png", "P"), ("JPEG", "jpg", "L"), ("GIF", "gif", "L"), ("WEBP", "webp", "RGB"), ("BMP", "bmp", "RGB"),
                               ("TIFF", "tif", "L"), ("PPM", "ppm", "RGB")):  # fmt: skip
        files = {}
        for i in range(16):
            out = io.BytesIO()
            Image.new("RGB", (6, 6), (i, 3 * i, 9)).convert(mode).save(out, kind)
            files[f"{'ab'[i % 2]}/{i}.{ending}"] = out.getvalue()
        made.append(files)
    return made


def _zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name, held in members.items():
            z.writestr(name, held)
    return out.getvalue()


def _settings() -> list[Files]:
    from understudy.config import build, to_toml

    config = build({"method": {"name": "compose", "methods": [{"name": "kd"}, {"name": "fitnet"}]}, "track": "mlflow"})
    plain = config.to_dict()
    short: dict[str, Any] = {
        "teacher": "cnn",
        "data": {"address": "digits", "task": "lm"},
        "method": "kd",
        "training": {"epochs": 3},
    }
    import yaml

    return [{"c.toml": to_toml(config).encode()}, {"c.json": json.dumps(plain).encode()}, {"c.json": json.dumps(short).encode()}, {"c.yaml": yaml.safe_dump(short).encode()},
            {"c.yaml": b"training: &t {epochs: 3, lr: 0.1}\nteacher_training: *t\nlm: {<<: {length: 9}}\n"}]  # fmt: skip


def _configuration(folder: Path) -> None:
    from understudy import config

    config.build(config.read(next(folder.glob("c.*"))))


# models -----------------------------------------------------------------------------------------------------------------------------


@functools.cache
def _rows() -> Any:
    from understudy import data

    return data.load("digits?limit=300")


@functools.cache
def _words() -> Any:
    """Rows of texts."""
    import tempfile

    from understudy import data

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.jsonl").write_bytes(_texts())
        return data.load(f"jsonl:{folder}/a.jsonl")


def _weights() -> list[bytes]:
    from safetensors.torch import save

    from understudy import models

    state = models.load("tiny-cnn?width=2", data=_rows()).net.state_dict()
    return [save({k: v.clone() for k, v in state.items()}, {"arch": "tiny-cnn?width=2"})]


@functools.cache
def speaker() -> Files:
    """A language model's folder."""
    import tempfile

    from integration.speakers import speaker as make

    with tempfile.TemporaryDirectory() as folder:
        made = make(Path(folder) / "m", width=4, words=270)
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(made.rglob("*")) if p.is_file()}


@functools.cache
def _tokenizer() -> Any:
    from understudy.data.code import train_tokenizer

    return train_tokenizer(["some words and others, to be read"] * 9, 270)


def _chats(path: Path, scheme: str = "jsonl") -> Any:
    from understudy.data import chats

    return chats.load(f"{scheme}:{path}", _tokenizer())


def _turns() -> list[bytes]:
    said = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "what?"},
        {"role": "assistant", "content": "that."},
    ]
    rows = [[{"messages": said}], [{"prompt": "what?", "completion": "that."}], [{"text": "words, and more of them"}]]
    return ["".join(json.dumps(r[0] | {"i": i}) + "\n" for i in range(8)).encode() for r in rows]


def _spoken_parquet() -> list[bytes]:
    import pandas as pd

    out = io.BytesIO()
    said = [[{"role": "user", "content": "what?"}, {"role": "assistant", "content": f"that {i}."}] for i in range(8)]
    pd.DataFrame({"messages": said}).to_parquet(out)
    return [out.getvalue(), *_parquet()]


# runs -------------------------------------------------------------------------------------------------------------------------------


def _sealed_checkpoint() -> list[bytes]:
    from safetensors.torch import save

    from understudy.core import checkpoint

    now = {"method": {"name": "kd", "a": 0.9, "t": 4.0}, "seed": 0, "step": 3, "nets": {"student.w": torch.ones(2, 3)}, "best": None, "reshaped": [],
           "opts": {"student": {"state": {0: {"momentum": torch.zeros(2)}}, "param_groups": [{"lr": 0.1, "betas": (0.9, 0.99)}]}}, "observed": {3: 0.5}}  # fmt: skip
    tensors: dict[str, Any] = {}
    plain = json.dumps(checkpoint._flatten(now, "", tensors))
    return [save(tensors, {"state": plain, "digest": checkpoint._digest(plain, tensors)})]


def _header(data: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """A safetensors file with another header, where it has one."""
    size = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + size])
        change(header)
        made = json.dumps(header).encode()
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, RuntimeError):
        return data
    return len(made).to_bytes(8, "little") + made + data[8 + size :]


def _resealed(_: str, data: bytes) -> bytes:
    """A checkpoint whose plain part is another one, under a digest that fits."""
    from safetensors.torch import load

    from fuzz.mutate import changed
    from understudy.core import checkpoint

    dice = random.Random(data)

    def change(header: dict[str, Any]) -> None:
        about = header["__metadata__"]
        about["state"] = json.dumps(changed(json.loads(about["state"]), dice))
        about["digest"] = checkpoint._digest(about["state"], load(data))

    try:
        return _header(data, change)
    except Exception:  # not a file that can be sealed
        return data


def _run() -> list[Files]:
    """A run's folder, and another beside it, as the board and a report see them."""
    config = {
        "config": {
            "teacher": "cnn",
            "student": "tiny-cnn",
            "method": {"name": "kd"},
            "data": {"address": "digits", "task": ""},
            "training": {"seed": 0},
        },
        "rows": "ab",
        "objects": [],
    }
    found = {"task": "classify", "metric": "accuracy", "agreement": 0.9, "seconds": 3.5, "method": {"name": "kd"}, "teacher": {"score": 0.9, "parameters": 9},
             "student": {"name": "tiny-cnn", "score": 0.8, "bytes": 99, "latency_ms": 0.1, "parameters": 5, "metrics": {"accuracy": 0.8}}, "examined": {"calibration_student": 0.1}}  # fmt: skip
    spoken = {
        "heard": {"student": {"name": "s", "nll": 2.0, "bytes": 9, "speed": 100.0}, "teacher": {"nll": 1.0}},
        "tokens": {"test": 99},
        "method": "kd",
        "divergence": 0.1,
    }
    points = "".join(
        json.dumps({"phase": "student", "step": i, "hard": 1.0 / (i + 1), "grad/hard": 0.1} | ({"valid": 0.5} if i % 2 else {}))
        + "\n"
        for i in range(6)
    )
    state = {
        "state": "finished",
        "pid": 1,
        "host": "h",
        "since": 1.0,
        "phase": "student",
        "first": 0,
        "steps": 6,
        "at": 2.0,
        "error": "",
    }
    files = {
        "config.json": json.dumps(config),
        "findings.json": json.dumps(found),
        "metrics.jsonl": points,
        "state.json": json.dumps(state),
    }
    talk = files | {"findings.json": json.dumps(spoken)}
    return [
        {f"runs/2026-11-21-093000-a/{k}": v.encode() for k, v in f.items()} | {f"runs/b/{k}": v.encode() for k, v in f.items()}
        for f in (files, talk)
    ]


def _board(folder: Path) -> None:
    from understudy.board.index import Index
    from understudy.board.server import _json

    index = Index(folder / "runs")
    index.look(now=True)
    _json(index.changes("", 0))
    names = [r["id"] for r in index.changes("", 0)["runs"]]
    if names:
        _json(index.beside(names))


def _earlier(folder: Path) -> None:
    from understudy.report.earlier import earlier

    for now in ({"task": "classify", "metric": "accuracy"}, {"heard": {}, "tokens": {"test": 99}}):
        earlier(folder / "runs" / "now", "ab", now)


def _points(path: Path) -> None:
    from understudy.job import Log

    Log(path, "student", 3)


def _tracked(path: Path) -> None:
    from understudy.track import Tracking

    told = Tracking(path.parent, ("mlflow",), "run")
    assert isinstance(told.times, int)


def _proved(folder: Path) -> None:
    from understudy.advice.proofs import proof
    from understudy.cli.show import show

    proof(folder, "kd").told  # noqa: B018
    show("kd", proofs=folder)


def _cells(path: Path) -> None:
    from understudy import studies, study

    found = studies.get("teacher-hacking")
    at = found.cells(True)[0]
    for cell in study._taken_up(path, {"study": "x", "small": True}).values():
        cell["got"], cell["seconds"]
    json.dumps(at)


def _summary(path: Path) -> None:
    from understudy.kept import understood
    from understudy.report.findings import Findings

    with understood(path, "what a run found"):
        Findings.from_json(path.read_text("utf-8"))


def _findings() -> list[bytes]:
    from understudy.report.findings import Findings, Measured, Recipe, Rows

    m = Measured("tiny-cnn", 0.8, {"accuracy": 0.8}, 5, 99, 0.1)
    rows = Rows("digits", {"train": 9, "test": 5}, ("a", "b"))
    return [
        Findings(
            "a run",
            Recipe("kd", "L = KL", "arXiv:1503.02531", {"t": 4.0}),
            "classify",
            "accuracy",
            rows,
            m,
            m,
            None,
            0.9,
            3.0,
            {},
            "c",
        )
        .to_json()
        .encode()
    ]


# teachers ---------------------------------------------------------------------------------------------------------------------------

NET = nn.Linear(3, 4)


def _answers() -> list[bytes]:
    import tempfile

    from understudy.teachers import Stored

    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        return [Stored(nn.Linear(3, 4), [torch.arange(15.0).view(5, 3)]).save(Path(folder) / "s").read_bytes()]


def _stored(path: Path) -> None:
    from understudy.teachers import Stored

    Stored.load(path)(torch.arange(15.0).view(5, 3))


def _restored(_: str, data: bytes) -> bytes:
    """Stored answers whose word about themselves is another one (their digest is of the tensors alone)."""
    from fuzz.mutate import VALUES

    dice = random.Random(data)

    def change(header: dict[str, Any]) -> None:
        about = header["__metadata__"]
        about[dice.choice(list(about))] = dice.choice([json.dumps(v) for v in VALUES if v != 10**400])

    return _header(data, change)


def _store() -> list[Files]:
    import tempfile

    from understudy.teachers import Encoding, label

    made = []
    torch.manual_seed(0)
    net = nn.Linear(3, 4).eval()
    for kind in ("float32", "int8"):
        with tempfile.TemporaryDirectory() as folder:
            label(net, [torch.arange(15.0).view(5, 3)], Path(folder) / "s", Encoding(kind))
            made.append({f"s/{p.name}": p.read_bytes() for p in sorted((Path(folder) / "s").iterdir())})
    return made


def _recorded(folder: Path) -> None:
    from understudy.teachers import Recorded

    Recorded(folder / "s")(torch.arange(15.0).view(5, 3))


def _packed() -> list[bytes]:
    from understudy.parts import pack

    book, counts = _book(), np.array([2, 0, 3])
    ids, units = np.array([1, 5, 0, 7, 19]), np.array([1, 2, 1, 9, 1])
    return [pack.pack(counts, ids, units, book)[0], pack.pack(counts, ids, None, book)[0]]


@functools.cache
def _book() -> Any:
    from understudy.parts import pack

    return pack.Book.of(np.array([2 ** (10 - i // 2) for i in range(20)]), 3)


def _unpacked(path: Path) -> None:
    from understudy.parts import pack

    for lot in (1, None):
        pack.unpack(path.read_bytes(), 3, _book(), lot)


QUESTION = [{"role": "user", "content": "what?"}]


def _client(folder: Path) -> Any:
    from understudy.teachers import Client

    return Client("http://127.0.0.1:9", "m", cache=folder, retries=0, topk=2, timeout=0.2, sleep=lambda _: None)


def _chat() -> dict[str, Any]:
    token = {
        "token": " a",
        "bytes": [32, 97],
        "logprob": -0.1,
        "top_logprobs": [{"token": " a", "bytes": [32, 97], "logprob": -0.1}, {"token": "b", "bytes": None, "logprob": -3}],
    }
    return {
        "choices": [{"message": {"content": " a"}, "finish_reason": "stop", "logprobs": {"content": [token]}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1},
    }


def _echo() -> dict[str, Any]:
    top = [None, {" b": -0.1, " x": -3}, {" c": -0.2}]
    said = {"tokens": ["a", " b", " c"], "token_logprobs": [None, -0.1, -0.2], "top_logprobs": top, "text_offset": [0, 1, 3]}
    ids = [None, {"262": {"logprob": -0.1, "rank": 1, "decoded_token": " b"}}, {"3": {"logprob": -0.2, "decoded_token": " c"}}]
    return {
        "choices": [{"text": "a b c", "logprobs": said, "prompt_logprobs": ids}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 0},
    }


def _cached() -> list[Files]:
    """Answers as a client keeps them."""
    import tempfile

    from understudy.teachers import remote

    def answer(*_: Any, **__: Any) -> bytes:
        return json.dumps(_chat()).encode()

    before, remote.post = remote.post, answer  # type: ignore[attr-defined]
    try:
        with tempfile.TemporaryDirectory() as folder:
            client = _client(Path(folder))
            client.write(QUESTION)
            return [{p.name: p.read_bytes() for p in sorted(Path(folder).iterdir()) if p.suffix in (".json", ".jsonl")}]
    finally:
        remote.post = before  # type: ignore[attr-defined]


def _asked(folder: Path) -> None:
    client = _client(folder)
    client.spent  # noqa: B018
    client.write(QUESTION)


def _heard(path: Path) -> None:
    from understudy.teachers import logprobs
    from understudy.teachers.spending import usage

    try:
        answer = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return  # told by who asked
    usage(answer)
    for read in (
        lambda: logprobs.written(answer, 2),
        lambda: logprobs.written(answer, 0),
        lambda: logprobs.judged(answer, "a", " b c", 2),
    ):
        with contextlib.suppress(Refused):
            read()


# all of them ------------------------------------------------------------------------------------------------------------------------


def _load(scheme: str) -> Callable[[Path], Any]:
    def read(path: Path) -> Any:
        from understudy import data

        return data.load(f"{scheme}:{path}")

    return read


def _file(path: Path) -> Any:
    from understudy import models

    return models.load(f"file:{path}", data=_rows())


def _language(folder: Path) -> Any:
    from understudy.models import language

    return language.load(f"hf:{folder / 'm'}")


def _sequence(folder: Path) -> Any:
    from understudy import models

    return models.load(f"hf:{folder / 'm'}", data=_words())


def _saved() -> list[Files]:
    """A data set as `datasets` saves it."""
    import tempfile

    import datasets

    with tempfile.TemporaryDirectory() as folder:
        rows = datasets.Dataset.from_dict({"a": list(range(24)), "label": [0, 1] * 12})
        datasets.DatasetDict({"train": rows}).save_to_disk(f"{folder}/d")
        kept = {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}
    card = b"---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: train.csv\n---\n# Rows\n"
    return [kept, {"d/train.csv": _csv(), "d/README.md": card}, {"d/train.jsonl": _jsonl()}]


TARGETS["settings"] = Target(_settings, _configuration)
one("csv/rows.csv", lambda: [_csv()], _load("csv"))
one("csv-gz/rows.csv.gz", lambda: [gzip.compress(_csv(), mtime=0)], _load("csv"))
one("jsonl/rows.jsonl", lambda: [_jsonl(), _texts(), _many()], _load("jsonl"))
one("parquet/rows.parquet", _parquet, _load("parquet"))
one("npz/rows.npz", lambda: [*_npz(), _zipped(**{"X.npy": b"\x93NUMPY\x01\x00"})], _load("npz"))
TARGETS["idx"] = Target(_idx, _load("idx"))
TARGETS["pictures"] = Target(_pictures, _load("folder"))
TARGETS["hub-data"] = Target(_saved, lambda folder: _load("hf")(folder / "d"))
one("chats/chats.jsonl", _turns, _chats)
one("chats-parquet/chats.parquet", _spoken_parquet, lambda path: _chats(path, "parquet"))
one("texts/a.txt", lambda: ["Ein Satz.\n\nNoch einer, é.\n\n".encode() * 900], lambda path: _chats(path, "text"))
one("weights/a.safetensors", _weights, _file)
TARGETS["language"] = Target(lambda: [speaker()], _language)
TARGETS["sequence"] = Target(lambda: [speaker()], _sequence)
one(
    "checkpoint/step-000000003.safetensors",
    _sealed_checkpoint,
    lambda path: __import__("understudy.core.checkpoint", fromlist=["read"]).read(path),
    again=_resealed,
)
TARGETS["board"] = Target(_run, _board)
TARGETS["earlier"] = Target(_run, _earlier)
one("metrics/metrics.jsonl", lambda: [_run()[0]["runs/b/metrics.jsonl"]], _points)
one(
    "tracked/state.json",
    lambda: [json.dumps({"ids": {"mlflow": "a"}, "last": {"student/hard": 3}, "times": 4}).encode()],
    _tracked,
)
one("findings/findings.json", _findings, _summary)
TARGETS["proofs"] = Target(
    lambda: [
        {
            "kd.json": json.dumps(
                {
                    "world": "digits",
                    "verdict": "holds: +1",
                    "holds": True,
                    "seeds": [0, 1],
                    "effect": {"mean": 1.0},
                    "command": "c",
                }
            ).encode()
        }
    ],
    _proved,
)
one(
    "cells/x.part.json",
    lambda: [
        json.dumps(
            {"study": "x", "small": True, "cells": [{"at": {"a": 1}, "seed": 0, "got": {"s": 0.5}, "seconds": 1.0}]}
        ).encode()
    ],
    _cells,
)
one("stored/s.safetensors", _answers, _stored, again=_restored)
TARGETS["recorded"] = Target(_store, _recorded)
one("pack/p", _packed, _unpacked)
TARGETS["cache"] = Target(_cached, _asked)
one("answers/a.json", lambda: [json.dumps(_chat()).encode(), json.dumps(_echo()).encode()], _heard)
