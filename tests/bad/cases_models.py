"""Models by address and from files: names that lead nowhere, files of other networks, folders in the hub's format that lack or contradict something."""

from __future__ import annotations

import functools
import importlib.util
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from bad.cases_data import csv, put
from bad.runner import Case
from integration import speakers
from understudy import data, models
from understudy.data.chats import load as chats
from understudy.models import language
from understudy.models.tiny import NETS


@functools.cache
def rows(kind: str = "image") -> Any:
    """Little data of a kind."""
    if kind == "image":
        return data.load("digits?limit=300")
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        path.write_text(csv() if kind == "table" else csv(text=[f"words number {i % 9}" for i in range(40)]))
        return data.load(f"csv:{path}")


def load(
    address: Any, kind: str = "image", files: dict[str, Any] | None = None, **how: Any
) -> Callable[[Path], Callable[[], Any]]:
    def make(folder: Path) -> Callable[[], Any]:
        put(folder, files or {})
        given = rows(kind)
        return lambda: models.load(address, data=given, **how)

    return make


TIMM = ("timm", "resnet1", "list_models") if importlib.util.find_spec("timm") else ("package", "timm", "importable")
ADDRESSES = [
    ("a near miss", "tiny-cn", "image", "model", "tiny-cn", "did you mean 'tiny-cnn'"),
    ("nothing", "", "image", "model", "''", "tiny-cnn"),
    ("capitals", "CNN", "image", "model", "CNN", "cnn"),
    ("a file without a scheme", "model.safetensors", "image", "model", "model.safetensors", "file:<...>"),
    ("a pickle without a scheme", "model.pt", "image", "model", "model.pt", "file:<...>"),
    ("a scheme without a place", "hf:", "image", "model", "hf:", "hf:<...>"),
    ("an unknown scheme", "tf:resnet", "image", "model", "tf:resnet", "timm:<...>"),
    ("a place behind a network of ours", "tiny-cnn:3", "image", "model", "tiny-cnn:3", "?width="),
    ("an unknown option", "tiny-cnn?widht=3", "image", "widht", "3", "did you mean 'width'"),
    ("width is a word", "tiny-cnn?width=wide", "image", "width", "wide", "[1, 4096]"),
    ("width is 0", "tiny-cnn?width=0", "image", "width", "0", "[1, 4096]"),
    ("width is negative", "tiny-cnn?width=-8", "image", "width", "-8", "[1, 4096]"),
    ("width is one half", "tiny-cnn?width=1.5", "image", "width", "1.5", "[1, 4096]"),
    ("width is huge", "tiny-cnn?width=99999999", "image", "width", "99999999", "[1, 4096]"),
    ("width twice", "tiny-cnn?width=3&width=4", "image", "address", "width=3", "each once"),
    ("an option without a value", "tiny-cnn?width", "image", "address", "tiny-cnn?width", "as in a URL"),
    ("a network of pictures for a table", "tiny-cnn", "table", "model", "tiny-cnn", "table rows"),
    ("a network of pictures for texts", "cnn", "text", "model", "cnn", "text rows"),
    ("shrink nothing", "shrink:0.5", "image", "student", "shrink:0.5", "with a teacher"),
    ("shrink to 0", "shrink:0", "image", "shrink", "0", "fraction"),
    ("shrink to 2", "shrink:2", "image", "shrink", "2", "fraction"),
    ("shrink to a word", "shrink:half", "image", "shrink", "half", "fraction"),
    ("shrink negative", "shrink:-0.1", "image", "shrink", "-0.1", "fraction"),
    ("shrink to nan", "shrink:nan", "image", "shrink", "nan", "fraction"),
    ("shrink with options", "shrink:0.5?width=3", "image", "width", "3", "takes no options"),
    ("sklearn unknown", "sklearn:random-forrest", "image", "sklearn", "random-forrest", "did you mean 'random-forest'"),
    ("sklearn seed", "sklearn:svm?seed=x", "image", "seed", "x", "whole number"),
    ("sklearn of texts", "sklearn:svm", "text", "sklearn", "svm", "tables or pictures"),
    ("timm unknown", "timm:resnet1", "image", *TIMM),
    ("timm of a table", "timm:resnet18", "table", "model", "timm:resnet18", "pictures"),
    ("timm pretrained perhaps", "timm:resnet18?pretrained=perhaps", "image", "pretrained", "perhaps", "true or false"),
    ("hf of a table", "hf:bert", "table", "model", "hf:bert", "pictures or texts"),
    ("hf nobody has", "hf:nobody/nothing", "text", "hf", "nobody/nothing", "text classifier"),
    ("hf with an unknown option", "hf:bert?lenght=3", "text", "lenght", "3", "did you mean 'length'"),
    ("hf climbing", "hf:../../etc", "text", "hf", "../../etc", "text classifier"),
    ("torch without a name", "torch:math", "image", "model", "torch:math", "torch:package.module:callable"),
    ("torch missing", "torch:no_such_module:make", "image", "model", "no_such_module", "can be imported"),
    ("torch relative", "torch:.x:make", "image", "model", "torch:.x", ""),
    ("torch no such callable", "torch:math:sqr", "image", "model", "torch:math:sqr", "did you mean 'sqrt'"),
    ("torch not a network", "torch:math:pi", "image", "model", "torch:math:pi", "a callable"),
    ("torch needs more", "torch:torch.nn:Linear", "image", "model", "torch.nn:Linear", "needs nothing but classes"),
    ("torch returns a number", "torch:time:time", "image", "model", "torch:time:time", ""),
    ("torch raises", "torch:bad.cases_models:broken", "image", "model", "broken", "out of luck"),
    ("torch signature unknown", "torch:builtins:print", "image", "model", "print", ""),
    ("file missing", "file:a.safetensors?arch=tiny-cnn", "image", "file", "a.safetensors", "exists"),
    ("file pickled", "file:a.pt?arch=tiny-cnn", "image", "file", "a.pt", ".safetensors"),
    ("file of nobody's home", "file:~nobody-here/a.safetensors", "image", "file", "~nobody-here", "exists"),
    ("file of a long name", "file:" + "n" * 3000 + ".safetensors", "image", "file", "nnn", "exists"),
]  # fmt: skip


def broken() -> nn.Module:
    raise RuntimeError("out of luck")


def saved(
    change: Callable[[dict[str, Any]], Any], query: str = "?arch=tiny-cnn", about: dict[str, str] | None = None
) -> Callable[[Path], Callable[[], Any]]:
    """A file of a network's weights, changed."""

    def make(folder: Path) -> Callable[[], Any]:
        given = rows()
        weights = {k: v.clone() for k, v in models.load("tiny-cnn", data=given).net.state_dict().items()}
        weights = change(weights) or weights
        save_file(weights, folder / "a.safetensors", about)
        return lambda: models.load(f"file:a.safetensors{query}", data=given)

    return make


def _drop(w: dict[str, Any]) -> None:
    del w[next(iter(w))]


def _wider(w: dict[str, Any]) -> None:
    name = next(iter(w))
    w[name] = torch.zeros(99, *w[name].shape[1:])


def _not_finite(w: dict[str, Any]) -> None:
    w[next(iter(w))].fill_(float("nan"))


def _words(w: dict[str, Any]) -> dict[str, Any]:
    return {k: v.to(torch.int8) for k, v in w.items()}


def damaged(change: Callable[[bytes], bytes]) -> Callable[[Path], Callable[[], Any]]:
    def make(folder: Path) -> Callable[[], Any]:
        given = rows()
        path = folder / "a.safetensors"
        save_file({k: v.clone() for k, v in models.load("tiny-cnn", data=given).net.state_dict().items()}, path)
        path.write_bytes(change(path.read_bytes()))
        return lambda: models.load("file:a.safetensors?arch=tiny-cnn", data=given)

    return make


SAVED: list[tuple[str, Any, str, str, str]] = [
    ("a weight less", saved(_drop), "file", "a.safetensors", "lacks"),
    ("a weight more", saved(lambda w: w | {"more": torch.zeros(2)}), "file", "a.safetensors", "has unknown more"),
    ("nothing in it", saved(lambda w: {"x": torch.zeros(1)}), "file", "a.safetensors", "lacks"),
    ("another shape", saved(_wider), "file", "a.safetensors", "is [99"),
    ("another width", saved(lambda w: None, "?arch=tiny-cnn%3Fwidth%3D3"), "file", "a.safetensors", "weights for tiny-cnn?width=3"),
    ("another network", saved(lambda w: None, "?arch=cnn"), "file", "a.safetensors", "weights for cnn"),
    ("no number among the weights", saved(_not_finite), "file", "a.safetensors", "finite"),
    ("weights in 8 bits", saved(_words), "file", "a.safetensors", "floating"),
    ("no arch", saved(lambda w: None, ""), "arch", "None", "address of the network"),
    ("an arch that is none", saved(lambda w: None, "?arch=tiny-cn"), "model", "tiny-cn", "did you mean 'tiny-cnn'"),
    ("an arch of itself", saved(lambda w: None, "", {"arch": "file:a.safetensors"}), "arch", "file:", ""),
    ("an arch that runs code", saved(lambda w: None, "", {"arch": "torch:os:getcwd"}), "arch", "torch:", "runs nothing"),
    ("an arch in a circle", saved(lambda w: None, "?arch=file:a.safetensors%3Farch%3Dfile:a.safetensors"), "arch", "", ""),
    ("an option unknown", saved(lambda w: None, "?arch=tiny-cnn&device=cuda"), "device", "cuda", "takes arch"),
    ("cut", damaged(lambda b: b[:-100]), "file", "a.safetensors", "whole safetensors"),
    ("empty", damaged(lambda b: b""), "file", "a.safetensors", "whole safetensors"),
    ("a pickle inside", damaged(lambda b: b"\x80\x04\x95" + b[3:]), "file", "a.safetensors", "whole safetensors"),
    ("a header of gigabytes", damaged(lambda b: (2**40).to_bytes(8, "little") + b[8:]), "file", "a.safetensors", "whole safetensors"),
    ("a header that is none", damaged(lambda b: b[:8] + b"x" * 20 + b[28:]), "file", "a.safetensors", "whole safetensors"),
    ("a folder", lambda d: (d / "a.safetensors").mkdir() or load("file:a.safetensors?arch=cnn")(d), "file", "a.safetensors", "exists"),
    ("links in a circle", lambda d: (d / "a.safetensors").symlink_to("a.safetensors") or load("file:a.safetensors?arch=cnn")(d), "file", "a.safetensors", "exists"),
]  # fmt: skip


@functools.cache
def speaker() -> Path:
    import tempfile

    folder = Path(tempfile.mkdtemp())
    speakers.speaker(folder / "m")
    speakers.texts(folder)
    return folder


def _edit(folder: Path, name: str, change: Callable[[dict[str, Any]], Any]) -> None:
    found = json.loads((folder / name).read_text())
    new = change(found)
    found = found if new is None else new
    (folder / name).write_text(json.dumps(found))


def hub(change: Callable[[Path], Any], query: str = "") -> Callable[[Path], Callable[[], Any]]:
    """A language model's folder, changed."""

    def make(folder: Path) -> Callable[[], Any]:
        shutil.copytree(speaker() / "m", folder / "m")
        change(folder / "m")
        return lambda: language.load("hf:m" + query)

    return make


def _weights(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / "model.safetensors"
    found = load_file(path)
    save_file(change(found) or found, path, {"format": "pt"})


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


HUB: list[tuple[str, Callable[[Path], Any], str, str, str, str]] = [
    ("no config", lambda f: (f / "config.json").unlink(), "", "hf", "m", "language model"),
    ("config broken", lambda f: (f / "config.json").write_text("{"), "", "hf", "m", "language model"),
    ("config empty", lambda f: (f / "config.json").write_text(""), "", "hf", "m", "language model"),
    ("config a list", lambda f: (f / "config.json").write_text("[1]"), "", "hf", "m", "language model"),
    ("config of no model", lambda f: _edit(f, "config.json", lambda c: {}), "", "hf", "m", "language model"),
    ("config of an unknown model", lambda f: _edit(f, "config.json", lambda c: c | {"model_type": "lama"}), "", "hf", "m", "language model"),
    ("config of words", lambda f: _edit(f, "config.json", lambda c: c | {"hidden_size": "wide"}), "", "hf", "m", "language model"),
    ("config of negative layers", lambda f: _edit(f, "config.json", lambda c: c | {"hidden_size": -16}), "", "hf", "m", "language model"),
    ("config of no heads", lambda f: _edit(f, "config.json", lambda c: c | {"num_attention_heads": 0}), "", "hf", "m", "language model"),
    ("config of another width", lambda f: _edit(f, "config.json", lambda c: c | {"hidden_size": 32}), "", "hf", "m", "language model"),
    ("config of another vocabulary", lambda f: _edit(f, "config.json", lambda c: c | {"vocab_size": 9}), "", "hf", "m", ""),
    ("config with code", lambda f: _edit(f, "config.json", lambda c: c | {"auto_map": {"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M"}, "model_type": "own"}), "", "hf", "m", "language model"),
    ("no weights", lambda f: (f / "model.safetensors").unlink(), "", "hf", "m", "safetensors"),
    ("weights empty", lambda f: (f / "model.safetensors").write_bytes(b""), "", "hf", "m", "safetensors"),
    ("weights cut", lambda f: _cut(f / "model.safetensors"), "", "hf", "m", "safetensors"),
    ("weights pickled", lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "", "hf", "m", "safetensors"),
    ("a weight less", lambda f: _weights(f, lambda w: {k: v for k, v in w.items() if "mlp.up" not in k}), "", "hf", "m", "lacks"),
    ("weights of nothing", lambda f: _weights(f, lambda w: {"x": torch.zeros(1)}), "", "hf", "m", "lacks"),
    ("a weight that is no number", lambda f: _weights(f, lambda w: {k: v * float("nan") for k, v in w.items()}), "", "hf", "m", "finite"),
    ("a weight of another shape", lambda f: _weights(f, lambda w: w | {k: torch.zeros(3, 3) for k in w if "mlp.up" in k}), "", "hf", "m", "language model"),
    ("no tokenizer", lambda f: [p.unlink() for p in f.glob("tokenizer*")], "", "hf", "m", "tokenizer"),
    ("tokenizer broken", lambda f: (f / "tokenizer.json").write_text("{"), "", "hf", "m", "tokenizer"),
    ("tokenizer of nothing", lambda f: (f / "tokenizer.json").write_text("{}"), "", "hf", "m", "tokenizer"),
    ("dtype unknown", lambda f: None, "?dtype=float16", "dtype", "float16", "float32, bfloat16"),
    ("random perhaps", lambda f: None, "?random=perhaps", "random", "perhaps", "true or false"),
    ("bits of 5", lambda f: None, "?bits=5", "bits", "5", "one of 4, 8"),
    ("lora of 0", lambda f: None, "?lora=0", "lora", "0", "[1, 1024]"),
    ("lora of a word", lambda f: None, "?lora=yes", "lora", "yes", "[1, 1024]"),
    ("an option unknown", lambda f: None, "?quantise=4", "quantise", "4", "takes"),
]  # fmt: skip


def talk(lines: str | bytes, query: str = "", scheme: str = "jsonl") -> Callable[[Path], Callable[[], Any]]:
    """Rows for language models."""

    def make(folder: Path) -> Callable[[], Any]:
        (folder / "a.jsonl").write_bytes(lines.encode() if isinstance(lines, str) else lines)
        tokenizer = language.load(f"hf:{speaker() / 'm'}").reader.tokenizer
        return lambda: chats(f"{scheme}:a.jsonl{query}", tokenizer)

    return make


def _turns(*turns: tuple[Any, Any]) -> str:
    return json.dumps({"messages": [{"role": r, "content": c} for r, c in turns]})


GOOD = json.dumps({"prompt": "what?", "completion": "that."})
CHATS = [
    ("empty", "", "", "data", "a.jsonl", "documents"),
    ("one row", GOOD, "", "data", "a.jsonl", "documents"),
    ("broken", GOOD + "\n{", "", "jsonl", "a.jsonl:2", "JSON object"),
    ("deep", "[" * 100_000, "", "jsonl", "a.jsonl:1", "JSON object"),
    ("latin-1", '{"text": "é"}'.encode("latin-1"), "", "jsonl", "a.jsonl:1", "utf-8"),
    ("numbers", "1\n2", "", "row", "a.jsonl:1", "an object with"),
    ("lists", "[]\n[]", "", "row", "a.jsonl:1", "an object with"),
    ("other columns", '{"question": "a", "answer": "b"}', "", "row", "a.jsonl:1", "it has question, answer"),
    ("columns that aren't there", GOOD, "?prompt=question", "row", "a.jsonl:1", "question"),
    ("an unknown option", GOOD, "?promt=question", "promt", "question", "did you mean 'prompt'"),
    ("no completion", '{"prompt": "a"}', "", "row", "a.jsonl:1", "completion"),
    ("an empty completion", '{"prompt": "a", "completion": "  "}', "", "row", "a.jsonl:1", "completion"),
    ("a completion that is a number", '{"prompt": "a", "completion": 3}', "", "row", "a.jsonl:1", "completion"),
    ("text that is a list", '{"text": ["a"]}', "", "row", "a.jsonl:1", "text"),
    ("messages that are text", '{"messages": "hello"}', "", "messages", "a.jsonl:1", "a list of"),
    ("no messages", '{"messages": []}', "", "messages", "a.jsonl:1", "an answer"),
    ("messages of text", '{"messages": ["a"]}', "", "messages", "a.jsonl:1", "a list of"),
    ("no role", '{"messages": [{"content": "a"}]}', "", "messages", "a.jsonl:1", "role"),
    ("a role that is a number", _turns((1, "a")), "", "messages", "a.jsonl:1", "role"),
    ("nobody answers", _turns(("user", "a")), "", "messages", "a.jsonl:1", "an answer"),
    ("content that is a list", _turns(("user", ["a"]), ("assistant", "b")), "", "messages", "a.jsonl:1", "content"),
    ("nothing is said", _turns(("user", "a"), ("assistant", None)), "", "messages", "a.jsonl:1", "content"),
    ("half a character", '{"prompt": "\\ud800", "completion": "a"}\n' * 5, "", "row", "a.jsonl:1", "text"),
]  # fmt: skip


def cases() -> Iterator[Case]:
    for name, address, kind, field, value, allowed in ADDRESSES:
        yield Case(name, load(address, kind), field, value, allowed)
    for given in (None, 3, b"cnn", Path("cnn")):
        yield Case(f"models.load({given!r})", load(given), "address")
    for net in NETS:
        for kind in ("image", "text", "table"):
            if kind not in NETS[net][1]:
                yield Case(f"{net} of {kind} rows", load(net, kind), "model", net, f"{kind} rows")
    for name, make, field, value, allowed in SAVED:
        yield Case(name, make, field, value, allowed)
    for name, change, query, field, value, allowed in HUB:
        yield Case(name, hub(change, query), field, value, allowed)
    for name, lines, query, field, value, allowed in CHATS:
        yield Case("chats " + name, talk(lines, query), field, value, allowed)
    for scheme in ("csv", "digits", "", "idx"):
        yield Case(f"chats of {scheme or 'nothing'}", talk(GOOD, scheme=scheme), "data", scheme, "jsonl")
    for address in ("cnn", "hf:", "", "timm:x", "shrink:0.5", "hf:m?trust=1"):
        yield Case(f"language.load({address!r})", lambda _, a=address: lambda: language.load(a), "")  # type: ignore[misc]


CASES = [c if c.field else Case(c.name, c.make, "", free=True) for c in cases()]
