"""Command lines: options nobody has, values missing or of another kind, runs that aren't there or are damaged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bad.cases_data import csv, png, put
from bad.cases_models import HUB, speaker

COMMANDS: dict[str, list[str]] = {  # each with what it can't do without
    "distill": [], "resume": ["runs/a"], "write": ["--teacher", "openai:http://127.0.0.1:9?model=m", "--data", "a.jsonl", "--out", "o.jsonl"],
    "label": ["--out", "o"], "eval": ["runs/a"], "export": ["runs/a", "--to", "s.onnx"], "rehearse": ["kd"], "list": [], "show": ["kd"], "board": [],
    "advise": [], "doctor": [], "compare": ["--methods", "kd,dkd"], "prove": ["kd"], "study": ["teacher-hacking"],
}  # fmt: skip
NEEDS = {"resume": "RUN", "eval": "MODEL", "export": "RUN", "rehearse": "METHOD", "show": "NAME", "study": "NAME"}
BUDGETED = ("distill", "doctor", "advise", "compare")


@dataclass(frozen=True)
class Line:
    """args: behind `understudy`. field, value, allowed: in the one line on standard error. files: in the working folder. run: with a finished run in
    runs/a, which `change` damages."""

    name: str
    args: list[str]
    field: str
    value: str = ""
    allowed: str = ""
    files: dict[str, Any] | None = None
    run: bool = False
    change: Callable[[Path], Any] | None = None

    def lay(self, folder: Path) -> None:
        put(folder, self.files or {})
        if self.change:
            self.change(folder / "runs" / "a")


def options() -> Iterator[Line]:
    """What any command line gets wrong."""
    for name, needs in COMMANDS.items():
        yield Line(f"{name} --nonsense", [name, *needs, "--nonsense"], "--nonsense", "", f"understudy {name} --help")
        yield Line(
            f"{name} with a word too many", [name, *needs, *(["a"] * 3 if name != "prove" else ["a", "--all"])], "", "a", ""
        )
        if name in NEEDS:
            yield Line(f"{name} without {NEEDS[name]}", [name], NEEDS[name].lower(), "", "missing")
    yield Line("a command nobody knows", ["distil"], "distil", "", "distill")
    yield Line("an option for no command", ["--seed", "3"], "--seed", "", "help")
    for name in BUDGETED:
        needs = COMMANDS[name]
        for option, value in (
            ("--epochs", "many"),
            ("--epochs", "1.5"),
            ("--batch", "x"),
            ("--lr", "fast"),
            ("--seed", "one"),
            ("--limit", "few"),
        ):
            yield Line(f"{name} {option} {value}", [name, *needs, option, value], option, value, "")
        for option, value, field, allowed in (
            ("--epochs", "0", "training.epochs", "[1, "), ("--epochs", "-3", "training.epochs", "[1, "), ("--batch", "0", "training.batch", "[1, "),
            ("--lr", "nan", "training.lr", "[0, 100]"), ("--lr", "inf", "training.lr", "[0, 100]"), ("--lr", "-1", "training.lr", "[0, 100]"),
            ("--seed", "-1", "training.seed", "[0, "), ("--limit", "-1", "data.limit", "[0, "), ("--task", "clasify", "data.task", "did you mean 'classify'"),
            ("--folder", "", "folder", "text"), ("--student", "", "student", "text"), ("--data", "", "data.address", "text"),
        ):  # fmt: skip
            if not (name in ("compare", "advise") and option in ("--data", "--student") and not value):
                yield Line(f"{name} {option} '{value}'", [name, *needs, option, value], field, value, allowed)
        yield Line(f"{name} --epochs without a value", [name, *needs, "--epochs"], "--epochs", "", "requires an argument")
        yield Line(f"{name} --epochs huge", [name, *needs, "--epochs", "9" * 400], "training.epochs", "999", "[1, ")
    for sets, field, allowed in (
        ("t", "--set", "NAME=VALUE"), ("=3", "--set", "NAME=VALUE"), ("t=", "kd.t", "[0.01, 100]"), ("t=hot", "kd.t", "[0.01, 100]"), ("t=0", "kd.t", "[0.01, 100]"),
        ("tt=3", "kd.tt", "'kd' has"), ("training.epoch=3", "training.epoch", "did you mean 'epochs'"), ("training.=3", "training.", "can be set"),
        ("nothing.x=3", "--set", "a field of"), ("training.warmup=x", "training.warmup", "[0, "), ("lm.pack=maybe", "lm.pack", "true or false"),
        ("augment.zoom=9", "augment.zoom", "[0, 0.9]"), ("data.valid=2", "data.valid", "[0.01, 0.5]"), ("t=nan", "kd.t", "[0.01, 100]"), ("a=1e400", "kd.a", "[0, 1]"),
    ):  # fmt: skip
        yield Line(f"--set {sets}", ["distill", "--set", sets], field, "", allowed)
    yield Line("--alone is a switch", ["distill", "--alone=yes"], "--alone", "", "")
    for run in ("", "a/b", "..", ".", "/tmp/x", "a/../b"):
        yield Line(f"--run-id '{run}'", ["distill", "--run-id", run], "--run-id", run, "without slashes")
    yield Line("--run-id very long", ["distill", "--run-id", "n" * 4000], "--run-id", "nnn", "")
    yield Line("--run-id zero byte", ["distill", "--run-id", "a\0b"], "--run-id", "a", "")


def given() -> Iterator[Line]:
    """Values that every command reads itself."""
    for name, args, field, value, allowed in (
        ("teacher unknown", ["distill", "--teacher", "cnnn"], "model", "cnnn", "did you mean 'cnn'"),
        ("student unknown", ["distill", "--teacher", "tiny-cnn", "--student", "tiny-cn"], "model", "tiny-cn", "did you mean 'tiny-cnn'"),
        ("data unknown", ["distill", "--data", "digit"], "data", "digit", "did you mean 'digits'"),
        ("data missing", ["distill", "--data", "csv:none.csv"], "file", "none.csv", "exists"),
        ("data of no option", ["distill", "--data", "digits?seeed=1"], "seeed", "1", "did you mean 'seed'"),
        ("method unknown", ["distill", "--method", "kdd"], "method", "kdd", "did you mean 'kd'"),
        ("method of others", ["distill", "--method", "gkd", "--teacher", "tiny-cnn"], "method", "gkd", "is for"),
        ("target of pictures", ["distill", "--target", "y"], "target", "y", "'digits' takes"),
        ("track unknown", ["distill", "--track", "tensorbord"], "track", "tensorbord", "did you mean 'tensorboard'"),
        ("signal unknown", ["distill", "--signal", "ofline"], "signal", "ofline", "online"),
        ("signal of a folder that isn't there", ["distill", "--signal", "store:none"], "store", "none", "manifest"),
        ("length of pictures", ["distill", "--length", "9"], "lm", "9", "left as it is"),
        ("config missing", ["distill", "--config", "none.toml"], "config", "none.toml", "readable"),
        ("config of another kind", ["distill", "--config", "a.ini"], "config", "a.ini", ".toml"),
        ("config a folder", ["distill", "--config", "."], "config", ".", ".toml"),
        ("language models of digits", ["distill", "--task", "lm"], "model", "digits", "hf:"),
        ("language models of nothing", ["distill", "--task", "lm", "--teacher", "hf:none", "--data", "jsonl:none.jsonl"], "hf", "none", "language model"),
        ("resume nowhere", ["resume", "none"], "run", "none", "config.json"),
        ("resume a file", ["resume", "a.ini"], "run", "a.ini", "config.json"),
        ("eval nowhere", ["eval", "nowhere"], "model", "nowhere", "tiny-cnn"),
        ("eval a model without weights", ["eval", "tiny-cnn:x"], "model", "tiny-cnn:x", ""),
        ("eval a file that isn't there", ["eval", "file:none.safetensors?arch=cnn"], "file", "none.safetensors", "exists"),
        ("eval a model on nothing", ["eval", "sklearn:svm", "--data", "digit"], "data", "digit", "did you mean"),
        ("export nowhere", ["export", "none", "--to", "s.onnx"], "run", "none", "config.json"),
        ("export to nothing", ["export", "none"], "--to", "", "missing"),
        ("export to a pickle", ["export", "none", "--to", "s.pt"], "export", "s.pt", ".onnx"),
        ("list a family nobody knows", ["list", "--family", "logits"], "--family", "logits", "did you mean 'logit'"),
        ("list a tag nobody knows", ["list", "--tag", "tap"], "--tag", "tap", "did you mean 'taps'"),
        ("list studies of a family", ["list", "--studies", "--family", "logit"], "--studies", "logit", "without --family"),
        ("show nothing", ["show", "kdd"], "method", "kdd", "did you mean 'kd'"),
        ("show a folder", ["show", "../kd"], "method", "../kd", "did you mean 'kd'"),
        ("show a long name", ["show", "k" * 5000], "method", "kkk", "registered"),
        ("board of a file", ["board", "a.ini"], "folder", "a.ini", "a folder"),
        ("board at no port", ["board", "--port", "99999"], "--port", "99999", "less than or equal to 65535"),
        ("board at a word", ["board", "--port", "http"], "--port", "http", "integer"),
        ("doctor of a method nobody knows", ["doctor", "--method", "kdd"], "method", "kdd", "did you mean 'kd'"),
        ("doctor of a student nobody knows", ["doctor", "--teacher", "tiny-cnn", "--student", "x"], "model", "x", "tiny-cnn"),
        ("advise within a budget that is none", ["advise", "--budget", "parms<1M"], "budget", "parms", "did you mean 'params'"),
        ("advise a budget of no unit", ["advise", "--budget", "latency<2"], "budget.latency", "2", "units"),
        ("advise a search below 0", ["advise", "--search", "-1"], "--search", "-1", "greater than or equal to 0"),
        ("compare one", ["compare", "--methods", "kd"], "--methods", "kd", "two methods or more"),
        ("compare none", ["compare", "--methods", ","], "--methods", ",", "two methods or more"),
        ("compare what nobody knows", ["compare", "--methods", "kd,dkdd"], "method", "dkdd", "did you mean 'dkd'"),
        ("compare fields nobody knows", ["compare", "--methods", "kd,kd?x=1"], "kd.x", "1", "'kd' has"),
        ("compare at no temperature", ["compare", "--methods", "kd,kd?t=0"], "kd.t", "0", "[0.01, 100]"),
        ("compare in a world nobody knows", ["compare", "--methods", "kd,dkd", "--world", "digit"], "--world", "digit", "did you mean 'digits'"),
        ("compare in a world and on data", ["compare", "--methods", "kd,dkd", "--world", "digits", "--teacher", "cnn"], "--world", "digits", "without options"),
        ("compare one seed", ["compare", "--methods", "kd,dkd", "--seeds", "1"], "--seeds", "1", "greater than or equal to 2"),
        ("compare no steps", ["compare", "--methods", "kd,dkd", "--steps", "0"], "--steps", "0", "greater than or equal to 1"),
        ("compare on training rows", ["compare", "--methods", "kd,dkd", "--split", "train"], "--split", "train", "valid"),
        ("prove nothing", ["prove"], "NAME", "", "--all"),
        ("prove all and one", ["prove", "kd", "--all"], "--all", "kd", "alone"),
        ("prove what nobody knows", ["prove", "kdd"], "method", "kdd", "did you mean 'kd'"),
        ("prove what others are measured by", ["prove", "alone"], "method", "alone", "baseline"),
        ("prove on one seed", ["prove", "kd", "--seeds", "1"], "--seeds", "1", "greater than or equal to 2"),
        ("prove in no process", ["prove", "kd", "--jobs", "0"], "--jobs", "0", "greater than or equal to 1"),
        ("prove all on one's data", ["prove", "--all", "--data", "x"], "--data", "x", "one method at a time"),
        ("study what nobody knows", ["study", "teacher-hackin"], "study", "teacher-hackin", "did you mean 'teacher-hacking'"),
        ("study one seed", ["study", "teacher-hacking", "--seeds", "1"], "--seeds", "1", "greater than or equal to 2"),
        ("rehearse what nobody knows", ["rehearse", "dmd3"], "method", "dmd3", "did you mean 'dmd2'"),
        ("rehearse fields nobody knows", ["rehearse", "kd?x=1"], "kd.x", "1", "'kd' has"),
        ("rehearse in a world nobody knows", ["rehearse", "kd", "--world", "digit"], "world", "digit", "did you mean 'digits'"),
        ("rehearse on data that isn't there", ["rehearse", "margin-mse", "--data", "none"], "data", "none", ""),
        ("rehearse on data that a world can't read", ["rehearse", "kd", "--data", "none"], "data", "none", "makes its own rows"),
        ("rehearse no steps", ["rehearse", "kd", "--steps", "0"], "--steps", "0", "greater than or equal to 1"),
        ("rehearse a seed below 0", ["rehearse", "kd", "--seed", "-1"], "--seed", "-1", "greater than or equal to 0"),
        ("label two ways", ["label", "--out", "o", "--samples", "5", "--top-k", "5"], "label", "--samples --top-k", "one of"),
        ("label no draws", ["label", "--out", "o", "--samples", "0"], "--samples", "0", "greater than or equal to 1"),
        ("label at no temperature", ["label", "--out", "o", "--temperature", "0"], "encoding.t", "0", "[0.01, 100]"),
        ("label without a folder", ["label"], "--out", "", "missing"),
        ("label with a teacher nobody knows", ["label", "--out", "o", "--teacher", "cnnn"], "model", "cnnn", "did you mean 'cnn'"),
        ("write without a teacher", ["write", "--data", "a", "--out", "b"], "--teacher", "", "missing"),
        ("write with a teacher that is none", ["write", "--teacher", "gpt", "--data", "a.jsonl", "--out", "b"], "teacher", "gpt", "openai:"),
        ("write with an option unknown", ["write", "--teacher", "openai:http://127.0.0.1:9?modell=m", "--data", "a.jsonl", "--out", "b"], "modell", "...", "did you mean 'model'"),
        ("write from nowhere", ["write", "--teacher", "openai:http://127.0.0.1:9?model=m", "--data", "none", "--out", "b"], "file", "none", ""),
        ("write no samples", ["write", "--teacher", "x", "--data", "a.jsonl", "--out", "b", "--samples", "0"], "--samples", "0", "greater than or equal to 1"),
        ("write from rows that ask nothing", ["write", "--teacher", "openai:http://127.0.0.1:9?model=m", "--data", "odd.jsonl", "--out", "b"], "row", "odd.jsonl:1", "messages"),
    ):  # fmt: skip
        yield Line(name, args, field, value, allowed, {"a.ini": "x", "a.jsonl": '{"prompt": "a"}\n', "odd.jsonl": '{"a": 1}\n'})
    for name, text, field, value, allowed in (
        ("toml broken", "teacher = ", "config", "c.toml", "readable toml"),
        ("toml of an unknown table", "[trainig]\nepochs = 3", "trainig", "3", "did you mean 'training'"),
        ("toml of an unknown key", "[training]\nepoch = 3", "training.epoch", "3", "did you mean 'epochs'"),
        ("toml out of range", "[training]\nepochs = 0", "training.epochs", "0", "[1, "),
        ("toml of another kind", "training = 3", "training", "3", "a table"),
        ("toml data a number", "data = 3", "data", "3", ""),
        ("toml method a number", "method = 3", "method", "3", ""),
        ("toml a list of methods", "method = ['kd']", "method", "kd", ""),
    ):
        yield Line(f"config: {name}", ["distill", "--config", "c.toml"], field, value, allowed, {"c.toml": text})
    for name, files, address, field, allowed in (
        ("ragged", {"a.csv": csv() + "1,2,3,4,5\n"}, "csv:a.csv", "file", "readable as csv"),
        ("one class", {"a.csv": csv(label=1)}, "csv:a.csv", "classes", "at least two"),
        ("one row", {"a.csv": csv(1)}, "csv:a.csv", "rows", "enough"),
        ("nothing", {"a.csv": ""}, "csv:a.csv", "file", ""),
        ("a picture for a table", {"a.csv": png()}, "csv:a.csv", "file", ""),
        ("a hub's ragged", {"h/train.csv": csv() + "1,2,3,4,5\n"}, "hf:h", "hf", "loadable"),
        ("pictures too small", {f"p/{c}/{i}.png": png(2) for c in "ab" for i in range(9)}, "folder:p", "model", "at least 4x4"),
    ):  # fmt: skip
        yield Line(
            f"rows: {name}",
            ["distill", "--data", address, "--teacher", "mlp" if "p/" not in next(iter(files)) else "cnn"],
            field,
            "",
            allowed,
            files,
        )


def spoken() -> Iterator[Line]:
    """Language models, whose libraries like to speak themselves."""
    chats = "".join(json.dumps({"prompt": f"{i}?", "completion": "yes."}) + "\n" for i in range(40))
    for name, change, query, field, _, allowed in HUB:
        if name in (
            "no weights",
            "a weight less",
            "a weight of another shape",
            "config of an unknown model",
            "config of words",
            "no tokenizer",
            "config with code",
        ):

            def lay(path: Path, change: Any = change) -> None:
                shutil.copytree(speaker() / "m", path)
                change(path)

            files = {"m": lay, "a.jsonl": chats}
            yield Line(
                f"lm: {name}",
                ["distill", "--task", "lm", "--teacher", f"hf:m{query}", "--data", "jsonl:a.jsonl"],
                field,
                "m",
                allowed,
                files,
            )


def _json(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))


def runs() -> Iterator[Line]:
    """A finished run's folder, damaged."""
    for name, change, field, allowed in (
        ("config broken", lambda r: (r / "config.json").write_text("{"), "run", "readable config.json"),
        ("config empty", lambda r: (r / "config.json").write_text(""), "run", "readable config.json"),
        ("config a list", lambda r: (r / "config.json").write_text("[1]"), "run", "readable config.json"),
        ("config nothing", lambda r: (r / "config.json").write_text("{}"), "run", "readable config.json"),
        ("config not text", lambda r: (r / "config.json").write_bytes(b"\xff\xfe\x00"), "run", "readable config.json"),
        ("config deep", lambda r: (r / "config.json").write_text("[" * 100_000), "run", "readable config.json"),
        ("config of a number", lambda r: (r / "config.json").write_text('{"config": 3}'), "", ""),
        ("config a folder", lambda r: ((r / "config.json").unlink(), (r / "config.json").mkdir()), "", ""),
        ("config of an unknown field", lambda r: _json(r / "config.json", lambda c: c["config"].update(x=1)), "x", "can be set"),
        ("config of another method", lambda r: _json(r / "config.json", lambda c: c["config"]["method"].update(name="kdd")), "method", "did you mean 'kd'"),
        ("config out of range", lambda r: _json(r / "config.json", lambda c: c["config"]["training"].update(epochs=0)), "training.epochs", "[1, "),
        ("config of objects", lambda r: _json(r / "config.json", lambda c: c.update(objects=["teacher"])), "run", "can be loaded again"),
        ("config of odd objects", lambda r: _json(r / "config.json", lambda c: c.update(objects=3)), "run", ""),
        ("config of unknown objects", lambda r: _json(r / "config.json", lambda c: c.update(objects=["x"])), "run", ""),
        ("other rows", lambda r: _json(r / "config.json", lambda c: c.update(rows="0" * 32)), "run.rows", "same rows"),
        ("checkpoints damaged", lambda r: [p.write_bytes(b"x" * 99) for p in (r / "checkpoints").rglob("*.safetensors")], "checkpoint", "readable checkpoint"),
        ("checkpoints empty", lambda r: [p.write_bytes(b"") for p in (r / "checkpoints").rglob("*.safetensors")], "checkpoint", "readable checkpoint"),
        ("checkpoints cut", lambda r: [p.write_bytes(p.read_bytes()[:-9]) for p in (r / "checkpoints").rglob("*.safetensors")], "checkpoint", "readable checkpoint"),
        ("checkpoints of one bit", lambda r: [p.write_bytes(p.read_bytes()[:-9] + bytes([p.read_bytes()[-9] ^ 1]) + p.read_bytes()[-8:]) for p in (r / "checkpoints").rglob("*.safetensors")], "checkpoint", "readable checkpoint"),
    ):  # fmt: skip
        for command in (["export", "runs/a", "--to", "s.onnx"], ["eval", "runs/a"], ["resume", "runs/a"])[
            : 1 if name.startswith("check") else 3
        ]:
            yield Line(f"{command[0]}: {name}", command, field, "", allowed, None, True, change)
    for name, args, field, value, allowed in (
        ("export to a folder that holds something", ["--to", "full"], "export", "full", "empty"),
        ("export to a pickle", ["--to", "s.pth"], "export", "s.pth", ".onnx"),
        ("export to a folder's name with an ending", ["--to", "full.onnx"], "export", "full.onnx", "a file's path"),
        ("export where no folder can be", ["--to", "a.ini/s.onnx"], "export", "a.ini", "is a file"),
    ):
        yield Line(
            name, ["export", "runs/a", *args], field, value, allowed, {"full/x": "x", "full.onnx/x": "x", "a.ini": "x"}, True
        )
    yield Line(
        "eval on rows of another kind",
        ["eval", "runs/a", "--data", "csv:a.csv"],
        "differ",
        "",
        "same kind",
        {"a.csv": csv()},
        True,
    )
    yield Line("eval on nothing", ["eval", "runs/a", "--data", "csv:none.csv"], "file", "none.csv", "exists", None, True)
    yield Line("distill into what is there", ["distill", "--run-id", "a"], "--run-id", "a", "isn't there yet", None, True)
    yield Line("board of a run's file", ["board", "runs/a/config.json"], "folder", "config.json", "a folder", None, True)


LINES = [*options(), *given(), *spoken(), *runs()]
