"""Calls from Python: distill, teachers, methods together, losses in another loop, worlds, and what reads a word with numbers in it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

import understudy
from bad.runner import Case
from understudy import methods, teachers
from understudy.advice import budget
from understudy.compose import SCHEDULES
from understudy.config import Training
from understudy.core import registry
from understudy.core.batch import Batch
from understudy.core.world import recast
from understudy.export import kind_of
from understudy.loops import Criterion
from understudy.parts import divergence
from understudy.prove import prove
from understudy.rehearsal import stage
from understudy.studies import get as study
from understudy.teachers import Budget, Client, Encoding, Ensemble, Remote, Stored
from understudy.teachers.spending import Budget as Spending
from understudy.worlds import WORLDS
from understudy.worlds.digits import digits as world

kd = registry.get("kd")
NET = nn.Linear(3, 2)
ROWS, LABELS = torch.zeros(4, 3), torch.zeros(4, dtype=torch.long)


def call(f: Callable[..., Any], *given: Any, **named: Any) -> Callable[[Path], Callable[[], Any]]:
    return lambda _: lambda: f(*given, **named)


def distill(**given: Any) -> Callable[[Path], Callable[[], Any]]:
    small = {"data": "digits", "student": "tiny-mlp", "teacher": "tiny-cnn", "quiet": True, "training": Training(epochs=1)}
    return call(understudy.distill, **small | given)


class Odd:
    """Nothing that can be learned from."""


class Wide(nn.Module):
    """Answers for other classes, or otherwise than a classifier."""

    def __init__(self, classes: int = 7, kind: str = "") -> None:
        super().__init__()
        self.layer, self.kind = nn.Linear(64, classes), kind

    def forward(self, x: torch.Tensor) -> Any:
        out = self.layer(x.flatten(1))
        made = {
            "tuple": (out, out),
            "none": None,
            "text": "yes",
            "nan": out * math.nan,
            "flat": out.sum(1),
            "row": out[:1],
            "raise": None,
        }
        if self.kind == "raise":
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
        return made.get(self.kind, out)


class Chosen:
    """A classifier of scikit-learn's kind that says nothing of probabilities."""

    def predict(self, x: Any) -> Any:
        return x


DISTILL: list[tuple[str, dict[str, Any], str, str, str]] = [
    ("teacher is a number", {"teacher": 3}, "model", "int", "an address"),
    ("teacher is nothing", {"teacher": None}, "", "", ""),
    ("teacher is a list", {"teacher": ["cnn"]}, "model", "list", "an address"),
    ("teacher is an object", {"teacher": Odd()}, "model", "Odd", "an address"),
    ("teacher is a class", {"teacher": Wide}, "", "", ""),
    ("teacher unknown", {"teacher": "cnnn"}, "model", "cnnn", "did you mean 'cnn'"),
    ("teacher is a path", {"teacher": Path("m.safetensors")}, "model", "Path", "an address"),
    ("teacher's state", {"teacher": NET.state_dict()}, "model", "OrderedDict", "an address"),
    ("student is a number", {"student": 3}, "model", "int", "an address"),
    ("student makes a number", {"student": lambda: 3}, "", "", ""),
    ("student makes nothing", {"student": lambda: None}, "", "", ""),
    ("student wants more", {"student": lambda classes: NET}, "", "", ""),
    ("student without weights", {"student": nn.Identity()}, "", "", ""),
    ("student of other classes", {"student": Wide(7)}, "", "", ""),
    ("student answers twice", {"student": Wide(10, "tuple")}, "", "", ""),
    ("student answers nothing", {"student": Wide(10, "none")}, "", "", ""),
    ("student of other rows", {"student": Wide(10, "raise")}, "", "", ""),
    ("teacher of other classes", {"teacher": Wide(7)}, "", "", ""),
    ("teacher of one class", {"teacher": Wide(1)}, "", "", ""),
    ("teacher answers NaN", {"teacher": Wide(10, "nan")}, "", "", ""),
    ("teacher answers twice", {"teacher": Wide(10, "tuple")}, "", "", ""),
    ("teacher answers nothing", {"teacher": Wide(10, "none")}, "", "", ""),
    ("teacher answers text", {"teacher": Wide(10, "text")}, "", "", ""),
    ("teacher answers a number a row", {"teacher": Wide(10, "flat")}, "", "", ""),
    ("teacher answers one row", {"teacher": Wide(10, "row")}, "", "", ""),
    ("teacher of other rows", {"teacher": nn.Linear(3, 10)}, "", "", ""),
    ("teacher predicts without probabilities", {"teacher": Chosen()}, "sklearn", "Chosen", "fitted"),
    ("data is a number", {"data": 3}, "", "", ""),
    ("data is nothing", {"data": None}, "", "", ""),
    ("data is a tensor", {"data": ROWS}, "", "", ""),
    ("data is a pair", {"data": (ROWS, LABELS)}, "", "", ""),
    ("data is a list", {"data": [1, 2]}, "", "", ""),
    ("data unknown", {"data": "digit"}, "data", "digit", "did you mean 'digits'"),
    ("method is a number", {"method": 3}, "method", "3", "a name"),
    ("method is nothing", {"method": None}, "method", "None", "a name"),
    ("method is its class", {"method": kd}, "method", "KD", "a name"),
    ("method unknown", {"method": "kdd"}, "method", "kdd", "did you mean 'kd'"),
    ("method with a folder", {"method": "logit/kd"}, "method", "logit/kd", "registered"),
    ("method's table without a name", {"method": {"t": 2}}, "method.name", "None", "registered"),
    ("method of another task", {"method": "margin-mse"}, "", "margin-mse", ""),
    ("method of language models", {"method": "gkd"}, "", "gkd", ""),
    ("epochs 0", {"epochs": 0}, "training.epochs", "0", "[1, "),
    ("epochs negative", {"epochs": -1}, "training.epochs", "-1", "[1, "),
    ("epochs one half", {"epochs": 0.5}, "training.epochs", "0.5", "whole number"),
    ("epochs text", {"epochs": "3"}, "training.epochs", "3", "whole number"),
    ("epochs true", {"epochs": True}, "training.epochs", "True", "whole number"),
    ("seed negative", {"seed": -1}, "training.seed", "-1", "[0, "),
    ("seed text", {"seed": "x"}, "training.seed", "x", "whole number"),
    ("training is a table", {"training": {"epochs": 1}}, "training", "epochs", "Training"),
    ("training is a number", {"training": 3}, "training", "3", "Training"),
    ("task unknown", {"task": "clasify"}, "data.task", "clasify", "did you mean 'classify'"),
    ("task is nothing", {"task": None}, "data.task", "None", "one of"),
    ("task regress for pictures of digits as words", {"task": "multilabel", "method": "dkd"}, "", "", ""),
    ("signal unknown", {"signal": "ofline"}, "signal", "ofline", "online"),
    ("signal of a folder that isn't there", {"signal": "store:none"}, "", "none", ""),
    ("lm is a number", {"lm": 3}, "lm", "3", ""),
    ("lm has an unknown field", {"lm": {"lenght": 3}}, "lm.lenght", "3", "did you mean 'length'"),
    ("limit negative", {"limit": -1}, "data.limit", "-1", "[0, "),
    ("limit small", {"limit": 5}, "", "5", ""),
    ("folder is a number", {"folder": 3}, "folder", "3", "text"),
    ("folder empty", {"folder": ""}, "folder", "''", "text"),
    ("track unknown", {"track": "tensorbord"}, "track", "tensorbord", "did you mean 'tensorboard'"),
    ("track is a number", {"track": 3}, "track", "3", "names"),
    ("alone is text", {"alone": "no"}, "alone", "no", "true or false"),
    ("language model for pictures", {"task": "lm"}, "", "", ""),
]  # fmt: skip


def ensemble(*nets: Any, **how: Any) -> Callable[[Path], Callable[[], Any]]:
    return call(Ensemble, nets, **how)


def composed(*given: Any, **how: Any) -> Callable[[Path], Callable[[], Any]]:
    return call(methods.compose, *given, **how)


def criterion(method: Any = None, **given: Any) -> Callable[[Path], Callable[[], Any]]:
    usual = {"student": nn.Linear(3, 2), "teacher": nn.Linear(3, 2), "x": ROWS, "y": LABELS}
    return call(Criterion, method or kd(), **usual | given)


def client(**given: Any) -> Callable[[Path], Callable[[], Any]]:
    return call(Client, **{"url": "http://127.0.0.1:9", "model": "m"} | given)


@functools.cache
def _stored() -> Any:
    return Stored(NET.eval(), [torch.arange(12.0).view(4, 3)])


def stored(x: Any) -> Callable[[Path], Callable[[], Any]]:
    return lambda _: lambda: _stored()(x)


SOFT = {f.__name__: f for f in (divergence.kl, divergence.reverse_kl, divergence.js, divergence.jensen, divergence.skew_kl, divergence.total_variation,
                                divergence.cross_entropy, divergence.binary_kl, divergence.even_kl)}  # fmt: skip
CALLS: list[tuple[str, Any, str, str, str]] = [
    ("nobody together", composed(), "compose.methods", "()", "one method or more"),
    ("numbers together", composed(1, 2), "compose.methods", "1", "one method or more"),
    ("names together", composed("kd", "dkd"), "", "kd", ""),
    ("classes together", composed(kd, kd), "compose.methods", "KD", "one method or more"),
    ("one weight too many", composed(kd(), weights=(1, 2)), "compose.weights", "(1, 2)", "as many"),
    ("a weight below 0", composed(kd(), weights=(-1,)), "compose.weights", "-1", "0 or more"),
    ("a weight that is no number", composed(kd(), weights=(math.nan,)), "compose.weights", "nan", "0 or more"),
    ("a weight that is text", composed(kd(), weights=("1",)), "compose.weights", "'1'", "0 or more"),
    ("a weight that is true", composed(kd(), weights=(True,)), "compose.weights", "True", "0 or more"),
    ("weights that are a number", composed(kd(), weights=1.0), "compose.weights", "1.0", ""),
    ("a schedule unknown", composed(kd(), schedules=("raise",)), "compose.schedules", "raise", "constant"),
    ("a schedule for two", composed(kd(), schedules=tuple(SCHEDULES)), "compose.schedules", "rise", "as many"),
    ("schedules as a word", composed(kd(), schedules="rise"), "compose.schedules", "r", ""),
    ("a schedule that is a number", composed(kd(), schedules=(3,)), "compose.schedules", "3", "constant"),
    ("composed of composed", composed(methods.compose(kd())), "compose.methods", "kd", "aren't themselves composed"),
    ("a game beside another", composed(kd(), registry.get("dmd2")()), "compose.methods", "dmd2", "one player"),
    ("no nets", ensemble(), "ensemble.nets", "[]", "at least one"),
    ("nets that are numbers", ensemble(1, 2), "ensemble.nets", "int", ""),
    ("a task unknown", ensemble(NET, task="rank"), "ensemble.task", "rank", "classify"),
    ("weights unknown", ensemble(NET, weights="average"), "ensemble.weights", "average", "'mean'"),
    ("weights of numbers", ensemble(NET, weights="entropy", task="regress"), "ensemble.weights", "entropy", "mean"),
    ("weights too many", ensemble(NET, weights=[1, 2]), "ensemble.weights", "[1, 2]", "1 positive"),
    ("a weight of 0", ensemble(NET, weights=[0.0]), "ensemble.weights", "[0.0]", "positive"),
    ("a weight of text", ensemble(NET, weights=["1"]), "ensemble.weights", "'1'", "positive"),
    ("a number for weights", ensemble(NET, weights=2), "ensemble.weights", "2", "positive"),
    ("answers of two shapes", lambda _: lambda: Ensemble([NET, nn.Linear(3, 4)])(ROWS), "ensemble.nets", "(4, 2)", "one shape"),
    ("a row nobody asked about", stored(torch.full((1, 3), 7.0)), "", "", ""),
    ("rows of another shape", stored(torch.zeros(2, 5)), "", "", ""),
    ("rows of another kind", stored(torch.zeros(2, 3, dtype=torch.double)), "", "", ""),
    ("no rows", lambda _: lambda: Stored(NET, []), "", "", ""),
    ("a tap that isn't there", lambda _: lambda: Stored(NET, [ROWS], taps=("layer9",)), "", "layer9", ""),
    ("stored nowhere", call(Stored.load, "none.safetensors"), "stored", "none.safetensors", "exists"),
    ("stored in a folder", lambda d: (d / "f").mkdir() or (lambda: Stored.load("f")), "stored", "f", "exists"),
    ("stored in text", lambda d: (d / "f").write_text("hello") and (lambda: Stored.load("f")), "stored", "f", "safetensors"),
    ("recorded nowhere", call(teachers.Recorded, "none"), "store", "none", "manifest"),
    ("recorded in a folder without a manifest", lambda d: (d / "f").mkdir() or (lambda: teachers.Recorded("f")), "store", "f", "manifest"),
    ("recorded by nobody", lambda d: (d / "manifest.json").write_text("{}") and (lambda: teachers.Recorded(".")), "store", ".", "understudy.store"),
    ("encoding unknown", call(Encoding, "sample"), "encoding.kind", "sample", "did you mean 'samples'"),
    ("encoding of -1 draws", call(Encoding, "samples", -1), "encoding.size", "-1", "[0, "),
    ("encoding of no draws", call(Encoding, "samples", 0), "encoding.size", "0", "1 or more"),
    ("encoding of half a draw", call(Encoding, "samples", 0.5), "encoding.size", "0.5", "whole number"),
    ("encoding at 0 degrees", call(Encoding, "samples", 5, 0.0), "encoding.t", "0.0", "[0.01, 100]"),
    ("encoding of hidden words", call(Encoding, "hidden", 3), "encoding", "(3", "no size"),
    ("url empty", client(url=""), "remote.url", "''", "http://host"),
    ("url of a file", client(url="file:///etc/passwd"), "remote.url", "file:", "http://host"),
    ("url without a scheme", client(url="localhost:8000"), "remote.url", "localhost", "http://host"),
    ("url with a password", client(url="http://me:secret@host"), "remote.url", "host", "without name, password"),
    ("url with a port that is none", client(url="http://host:99999"), "remote.url", "host", "http://host"),
    ("url with blanks", client(url="http://ho st"), "remote.url", "http://ho", "http://host"),
    ("no model", client(model=""), "remote.model", "''", "give model="),
    ("a key that isn't set", client(key="NO_SUCH_KEY_HERE"), "remote.key", "NO_SUCH_KEY_HERE", "environment variable"),
    ("a key in its name's place", client(key="sk-abc"), "remote.key", "...", "environment variable"),
    ("time negative", client(timeout=-1), "remote.timeout", "-1", "or more"),
    ("time infinite", client(timeout=math.inf), "remote.timeout", "inf", "or more"),
    ("retries negative", client(retries=-1), "remote.retries", "-1", "or more"),
    ("retries text", client(retries="4"), "remote.retries", "4", "or more"),
    ("warmth no number", client(temperature=math.nan), "remote.temperature", "nan", "or more"),
    ("no tokens", client(max_tokens=0), "remote.max_tokens", "0", "or more"),
    ("topk negative", client(topk=-1), "remote.topk", "-1", "or more"),
    ("workers 0", call(Remote, "http://h", "m", print, print, workers=0), "remote.workers", "0", "[1, "),
    ("budget negative", call(Budget, requests=-1), "budget", "-1", "0 or more"),
    ("budget of text", call(Budget, tokens="5"), "budget", "5", "0 or more"),
    ("budget without a price", call(Budget, money=5.0), "budget", "5.0", "needs a price"),
    ("price negative", call(Budget, price=(-1, 0)), "price", "-1", "two numbers"),
    ("price of one number", call(Budget, price=(1,)), "price", "(1,)", "two numbers"),
    *((f"budget {t!r}", call(Spending.read, t), "budget", t, "requests, tokens") for t in ("5apples", "-5", "1e999", "nan", "5requests,5requests", "1.5requests", "many")),
    *((f"price {t!r}", call(Spending.read, "", t), "price", t, "<in>/<out>") for t in ("1", "1/2/3", "a/b", "-1/1", "inf/1", "/")),
    *((f"costs {t!r}", call(budget.parse, t), "budget", "", "") for t in ("params", "params<", "params<x", "params<-1", "params<0", "params<1ms", "parms<1M", "latency<2", "latency<2m", "bytes<nan", "bytes<1e999kB", "params>1M", "params=1M", "flops<<1")),
    ("a loss that makes its rows", criterion(registry.get("alp-gmm")()), "method", "alp-gmm", "rows as they come"),
    ("a loss that is a name", criterion("kd"), "method", "kd", ""),
    ("a loss that is a class", criterion(kd), "method", "KD", ""),
    ("a student that is a name", criterion(student="cnn"), "student", "cnn", ""),
    ("a loss without a teacher", criterion(teacher=None), "teacher", "None", "learns from a teacher"),
    ("a student without weights", criterion(student=nn.Identity()), "players", "student", "something to move"),
    ("a loss for a task nobody knows", criterion(task="clasify"), "task", "clasify", ""),
    ("a batch without rows", criterion(x=ROWS[:0], y=LABELS[:0]), "", "", ""),
    ("rows and labels of two sizes", criterion(y=LABELS[:3]), "", "", ""),
    ("steps 0", criterion(steps=0), "steps", "0", ""),
    ("steps negative", criterion(steps=-1), "steps", "-1", ""),
    ("taps that aren't there", criterion(registry.get("fitnet")(teacher_at="layer9")) if "teacher_at" in registry.get("fitnet").__dataclass_fields__ else criterion(registry.get("fitnet")()), "", "", ""),
    *((f"{name} of other classes", call(f, torch.zeros(4, 10), torch.zeros(4, 9)), "student", "[4, 9]", "[4, 10]") for name, f in SOFT.items()),
    *((f"{name} of one class", call(f, torch.zeros(4, 10), torch.zeros(4, 1)), "student", "[4, 1]", "[4, 10]") for name, f in SOFT.items()),
    *((f"{name} of other rows", call(f, torch.zeros(1, 10), torch.zeros(4, 10)), "student", "[4, 10]", "[1, 10]") for name, f in SOFT.items()),
    ("a world unknown", call(stage, "digit"), "world", "digit", "did you mean 'digits'"),
    ("a world on data it can't read", call(stage, "digits", 0, "x"), "data", "x", "makes its own rows"),
    ("a world on data that isn't there", call(stage, next(n for n in WORLDS if n in ("library", "crawl", "rank")) if any(n in WORLDS for n in ("library", "crawl", "rank")) else "digits", 0, "none"), "data", "none", ""),
    ("rehearse a method unknown", call(understudy.rehearse, "kdd"), "method", "kdd", "did you mean 'kd'"),
    ("rehearse a number", call(understudy.rehearse, 3), "method", "3", "registered"),
    ("rehearse no steps", call(understudy.rehearse, "kd", steps=0), "steps", "0", "[1, "),
    ("rehearse steps of text", call(understudy.rehearse, "kd", steps="x"), "steps", "x", "[1, "),
    ("rehearse half a step", call(understudy.rehearse, "kd", steps=1.5), "steps", "1.5", "[1, "),
    ("rehearse a seed of text", call(understudy.rehearse, "kd", seed="x", steps=1), "seed", "x", "whole number"),
    ("rehearse a negative seed", call(understudy.rehearse, "kd", seed=-1, steps=1), "seed", "-1", "whole number"),
    ("prove what is measured by", call(prove, "alone"), "method", "alone", "baseline"),
    ("prove nothing known", call(prove, "kdd"), "method", "kdd", "did you mean 'kd'"),
    ("prove on one seed", call(prove, "kd", seeds=1), "seeds", "1", "2"),
    ("prove on no seed", call(prove, "kd", seeds=0), "seeds", "0", "2"),
    ("prove on half a seed", call(prove, "kd", seeds=2.5), "seeds", "2.5", "2"),
    ("a study unknown", call(study, "teacher-hackin"), "study", "teacher-hackin", "did you mean 'teacher-hacking'"),
    ("advise an unknown setting", call(understudy.advise, sed=1), "sed", "1", "seed"),
    ("advise a budget", call(understudy.advise, budget="params<many"), "budget", "many", ""),
    ("advise a student that is none", call(understudy.advise, student="tiny-cn", teacher="tiny-cnn"), "model", "tiny-cn", "did you mean"),
    ("advise a negative search", call(understudy.advise, search=-1), "search", "-1", "0"),
    ("advise on language models", call(understudy.advise, task="lm"), "task", "lm", "classify"),
    *((f"a file that ends in {p!r}", call(kind_of, Path(p)), "export", p, ".onnx") for p in ("a.pt", "a.bin", "a.onxx", "a.tflite", "a.h5", "a.zip")),
    ("a part of a world unknown", call(recast, world(0, small=True), stepss=3), "world.stepss", "3", "did you mean 'steps'"),
    ("a part of a world that follows", call(recast, world(0, small=True), epoch=3), "world.epoch", "3", "follows"),
    ("a batch without what is asked", lambda _: lambda: Batch(x=ROWS).y, "", "y", ""),
    ("resume nowhere", call(understudy.resume, "none"), "run", "none", "config.json"),
    ("resume nothing", call(understudy.resume, None), "run", "None", "config.json"),
    ("methods.get nothing", call(registry.get, None), "method", "None", "registered"),
]  # fmt: skip


def cases() -> Iterator[Case]:
    for name, given, field, value, allowed in DISTILL:
        yield Case(f"distill: {name}", distill(**given), field, value, allowed, free=not field)
    for name, make, field, value, allowed in CALLS:
        yield Case(name, make, field, value, allowed, free=not field)


CASES = list(cases())
