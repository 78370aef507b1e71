"""Configurations: what Python, TOML, YAML, JSON and the command line may say of a run."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from bad.runner import Case
from understudy import config
from understudy.core import registry

TABLES = {
    "training": config.Training,
    "teacher_training": config.Training,
    "data": config.Rows,
    "lm": config.Language,
    "augment": config.Change,
}
NAMES = ("epoch", "optimizer", "learning_rate", "wd", "temperature", "")  # what people write instead


def wrong(f: Field[Any], default: Any) -> Iterator[tuple[str, Any]]:
    """Values that a field may not have, by what is wrong with them."""
    kinds: list[tuple[str, Any]] = [("nothing", None), ("a list", [1, 2]), ("a table", {"a": 1})]
    if "span" in f.metadata:
        lo, hi = f.metadata["span"]
        kinds += [("text", "3"), ("a boolean", True), ("below", lo - 1), ("above", hi + 1), ("huge", 10**400)]
        kinds += (
            [("one half", 1.5)]
            if isinstance(default, int)
            else [("not a number", math.nan), ("infinite", math.inf), ("minus infinite", -math.inf)]
        )
    elif "choice" in f.metadata:
        kinds += [("another word", "noo"), ("a number", 3), ("a word in capitals", f.metadata["choice"][-1].upper())]
    elif "at" in f.metadata:
        kinds = [("nothing", None), ("a list of numbers", [1, 2]), ("a number", 3), ("no name", ""), ("no names", ())]
    elif isinstance(default, bool):
        kinds += [("a number", 1), ("text", "yes")]
    elif isinstance(default, str):
        kinds += [("a number", 1), ("a boolean", True)]
    return iter(kinds)


def default_of(f: Field[Any]) -> Any:
    return f.default if f.default is not MISSING else f.default_factory() if f.default_factory is not MISSING else None  # type: ignore[misc]


def build(given: dict[str, Any]) -> Callable[[Path], Callable[[], Any]]:
    return lambda _: lambda: config.build(copy.deepcopy(given))


def settings() -> Iterator[Case]:
    """Every field of every table of the configuration."""
    for table, cls in TABLES.items():
        for f in fields(cls):
            for how, value in wrong(f, default_of(f)):
                if (table, f.name) == ("data", "address") and how in ("a list", "a table"):
                    continue
                yield Case(f"{table}.{f.name} {how}", build({table: {f.name: value}}), f"{table}.{f.name}")
            near = f.name[:-1] if len(f.name) > 3 else f.name + "s"
            yield Case(f"{table}.{near}", build({table: {near: 1}}), f"{table}.{near}", "1", f.name)
        yield Case(f"{table} is a number", build({table: 3}), table, "3")
        yield Case(f"{table} is a list", build({table: [1]}), table, "[1]")
    for f in fields(config.Config):
        if f.name not in (*TABLES, "method", "track", "signal"):
            for how, value in wrong(f, default_of(f)):
                yield Case(f"{f.name} {how}", build({f.name: value}), f.name)
    for name in NAMES:
        yield Case(f"unknown '{name}'", build({name: 1}), name, "1", "can be set")
    for name in ("method", "track"):
        for value in (3, None, [1, 2], True, {"name": 3}):
            if (name, value) != ("track", [1, 2]):
                yield Case(f"{name}={value!r}", build({name: value}), name)
    yield Case("track nobody knows", build({"track": "wandbb"}), "track", "wandbb", "did you mean 'wandb'")
    yield Case("track of numbers", build({"track": [1]}), "track")
    yield Case("method unknown", build({"method": "dkdd"}), "method", "dkdd", "did you mean 'dkd'")
    yield Case("method empty", build({"method": ""}), "method")
    yield Case("method with a folder", build({"method": "../logit/kd"}), "method")
    yield Case("method without a name", build({"method": {"t": 2}}), "method.name")
    yield Case(
        "method's unknown field", build({"method": {"name": "kd", "temprature": 2}}), "kd.temprature", "2", "'kd' has a, t"
    )
    yield Case("method's field out of range", build({"method": {"name": "kd", "t": 0}}), "kd.t", "0", "[0.01, 100]")
    yield Case("lm for pictures", build({"lm": {"length": 9}}), "lm", "9", "left as it is")
    yield Case("signal unknown", build({"data": {"task": "lm"}, "signal": "ofline"}), "signal", "ofline", "online")
    yield Case("signal without a folder", build({"data": {"task": "lm"}, "signal": "store:"}), "signal", "store:", "online")
    yield Case("signal is a number", build({"signal": 3}), "signal", "3", "text")
    yield Case("on-policy for pictures", build({"signal": "on-policy"}), "signal", "on-policy", "online")
    yield Case(
        "views of texts", build({"data": {"task": "lm"}, "augment": {"views": 2}}), "augment.views", "2", "0 for language models"
    )
    yield Case("lm training is a number", build({"data": {"task": "lm"}, "training": 3}), "training", "3")
    yield Case("lm training is nothing", build({"data": {"task": "lm"}, "training": None}), "training", "None")
    yield Case("a long name", build({"x" * 10_000: 1}), "xxx", "1", "can be set")
    yield Case("a long value", build({"data": {"task": "y" * 100_000}}), "data.task", "yyy")
    yield Case("a long list", build({"training": {"lr": list(range(10_000))}}), "training.lr", "[0, 1")
    yield Case("half a character", build({"folder": "\ud800"}), "folder")
    yield Case("folder with a zero byte", build({"folder": "a\0b"}), "folder")
    yield Case("folder empty", build({"folder": ""}), "folder")
    yield Case("an object", build({"teacher": object()}), "teacher", "object", "text")
    yield Case("bytes", build({"teacher": b"digits"}), "teacher", "b'digits'")
    yield Case("itself inside", lambda _: _recursive, "", free=True)


def _recursive() -> Any:
    given: dict[str, Any] = {}
    given["data"] = given
    return config.build(given)


def method_fields() -> Iterator[Case]:
    """Every field of every method: wrong kinds, below, above, no number."""
    for name, cls in registry.load_all().items():
        for f in fields(cls):  # type: ignore[arg-type]
            for how, value in wrong(f, f.default):
                yield Case(f"{name}.{f.name} {how}", lambda _, c=cls, k=f.name, v=value: lambda: c(**{k: v}), f"{name}.{f.name}")  # type: ignore[misc]
            near = f.name + "x"
            yield Case(
                f"{name}.{near}",
                lambda _, n=name, k=near: lambda: registry.build({"name": n, k: 1}),
                f"{name}.{near}",
                "1",
                f.name,
            )  # type: ignore[misc]


def file(name: str, text: str | bytes) -> Callable[[Path], Callable[[], Any]]:
    def make(folder: Path) -> Callable[[], Any]:
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return lambda: config.build(config.read(folder / name))

    return make


def _loop(folder: Path) -> Callable[[], Any]:
    (folder / "a.toml").symlink_to("b.toml")
    (folder / "b.toml").symlink_to("a.toml")
    return lambda: config.read("a.toml")


def _folder(folder: Path) -> Callable[[], Any]:
    (folder / "c.toml").mkdir()
    return lambda: config.read("c.toml")


DEEP = 100_000
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{c}: &{c} [{', '.join(['*' + p] * 10)}]\n" for p, c in zip("abcdefghi", "bcdefghij", strict=True)
)
FILES: list[tuple[str, str, str | bytes, str, str]] = [  # name, file, what it holds, field, what is allowed
    ("toml broken", "c.toml", "teacher = ", "config", "readable toml"),
    ("toml twice", "c.toml", "teacher = 'a'\nteacher = 'b'", "config", "readable toml"),
    ("toml latin", "c.toml", "teacher = 'é'".encode("latin-1"), "config", "readable toml"),
    ("toml utf-16", "c.toml", "teacher = 'a'".encode("utf-16"), "config", "readable toml"),
    ("toml zeros", "c.toml", b"\0" * 100, "config", "readable toml"),
    ("toml date", "c.toml", "[training]\nepochs = 2020-01-01", "training.epochs", ""),
    ("toml time", "c.toml", "teacher = 10:00:00", "teacher", ""),
    ("toml infinite", "c.toml", "[training]\nlr = inf", "training.lr", "[0, 100]"),
    ("toml no number", "c.toml", "[training]\nlr = nan", "training.lr", "[0, 100]"),
    ("toml huge", "c.toml", "[training]\nepochs = " + "9" * 400, "training.epochs", "whole number"),
    ("toml beyond digits", "c.toml", "[training]\nepochs = " + "9" * 5000, "", ""),
    ("toml deep", "c.toml", "a = " + "[" * DEEP + "]" * DEEP, "config", "readable toml"),
    ("toml list", "c.toml", "[[training]]\nepochs = 1", "training", ""),
    ("yaml broken", "c.yaml", "a: [1", "config", "readable yaml"),
    ("yaml tabs", "c.yaml", "a:\n\t- b", "config", "readable yaml"),
    ("yaml list", "c.yaml", "- a\n- b", "config", "table of settings"),
    ("yaml empty", "c.yaml", "", "config", "table of settings"),
    ("yaml text", "c.yml", "digits", "config", "table of settings"),
    ("yaml code", "c.yaml", "teacher: !!python/object/apply:os.system ['touch owned']", "config", "readable yaml"),
    ("yaml norway", "c.yaml", "teacher: no", "teacher", ""),
    ("yaml date", "c.yaml", "teacher: 2020-01-01", "teacher", ""),
    ("yaml set", "c.yaml", "teacher: !!set {a, b}", "teacher", ""),
    ("yaml bytes", "c.yaml", "teacher: !!binary aGFsbG8=", "teacher", ""),
    ("yaml twice", "c.yaml", "teacher: a\nteacher: b", "config", "readable yaml"),
    ("yaml number as a key", "c.yaml", "1: 2", "1", "can be set"),
    ("yaml list as a key", "c.yaml", "? [a]\n: b", "config", "readable yaml"),
    ("yaml infinite", "c.yaml", "training: {lr: .inf}", "training.lr", "[0, 100]"),
    ("yaml scientific is text", "c.yaml", "training: {lr: 1e-3}", "training.lr", "number"),
    ("yaml inside itself", "c.yaml", "data: &a {x: *a}", "", ""),
    ("yaml bomb", "c.yaml", BOMB, "", ""),
    ("yaml deep", "c.yaml", "[" * 5000 + "]" * 5000, "config", "readable yaml"),
    ("yaml two", "c.yaml", "a: 1\n---\nb: 2", "config", "readable yaml"),
    ("yaml nothing for a table", "c.yaml", "training:", "training", ""),
    ("json broken", "c.json", '{"teacher": }', "config", "readable json"),
    ("json cut", "c.json", '{"teacher": "dig', "config", "readable json"),
    ("json list", "c.json", "[1]", "config", "table of settings"),
    ("json nothing", "c.json", "null", "config", "table of settings"),
    ("json empty", "c.json", "", "config", "readable json"),
    ("json twice", "c.json", '{"teacher": "a", "teacher": "b"}', "config", "readable json"),
    ("json no number", "c.json", '{"training": {"lr": NaN}}', "training.lr", "[0, 100]"),
    ("json infinite", "c.json", '{"training": {"lr": 1e999}}', "training.lr", "[0, 100]"),
    ("json deep", "c.json", '{"a": ' + "[" * DEEP + "]" * DEEP + "}", "config", "readable json"),
    ("json byte order mark", "c.json", b"\xef\xbb\xbf{}", "config", "readable json"),
    ("json half a character", "c.json", '{"teacher": "\\ud800"}', "teacher", ""),
    ("another ending", "c.ini", "teacher = digits", "config", ".toml"),
    ("no ending", "config", "teacher = 'digits'", "config", ".toml"),
    ("python", "c.py", "teacher = 'digits'", "config", ".toml"),
    ("capitals", "c.TXT", "", "config", ".toml"),
]


def files() -> Iterator[Case]:
    for name, path, text, field, allowed in FILES:
        yield Case(name, file(path, text), field, allowed=allowed, free=not field)
    yield Case("a folder", _folder, "config", "c.toml", "readable toml")
    yield Case("links in a circle", _loop, "config", "a.toml", "readable toml")
    yield Case("missing", lambda _: lambda: config.read("none.toml"), "config", "none.toml", "readable toml")
    yield Case(
        "a link to nothing",
        lambda d: (d / "l.json").symlink_to("gone") or (lambda: config.read("l.json")),
        "config",
        "l.json",
        "readable json",
    )
    yield Case("a zero byte", lambda _: lambda: config.read("a\0.toml"), "config", "a", "readable toml")
    yield Case("a very long name", lambda _: lambda: config.read("n" * 5000 + ".toml"), "config", "nnn", "readable toml")


CASES = [*settings(), *files()]
METHOD_FIELDS = list(method_fields())
