"""The settings of the main job. The dataclasses are the configuration; a TOML, YAML or JSON file may set them, data only."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from understudy.core import registry
from understudy.core.errors import nearest, refuse
from understudy.core.fields import check, choice, span
from understudy.parts.change import Change
from understudy.track import named

STRICT = {"extra": "forbid", "strict": True}


@dataclass(frozen=True)
class Training:
    """How a student learns. The same budget holds for the student trained alone, to which it is compared."""

    __pydantic_config__: ClassVar[Any] = STRICT

    epochs: int = span(30, 1, 10**6)  # passes over the training rows
    batch: int = span(32, 1, 10**6)  # rows a process and step
    accumulate: int = span(
        1, 1, 10**4
    )  # parts that a batch is learned from, one behind the other: memory for a part, an update for all
    optimiser: str = choice("sgd", "adam", "adamw")
    lr: float = span(0.05, 0, 100)  # falls to 0 along a cosine
    momentum: float = span(0.9, 0, 1)  # of sgd
    weight_decay: float = span(5e-4, 0, 10)
    warmup: int = span(0, 0, 10**9)  # steps of linear rise
    clip: float = span(0.0, 0, 1e6)  # largest gradient norm; 0 = never clipped
    precision: str = choice("no", "bf16")
    seed: int = span(0, 0, 2**31)
    checkpoints: int = span(20, 0, 10**4)  # saved on the way
    judgements: int = span(30, 1, 10**4)  # times that the validation rows are asked; the best student is kept


@dataclass(frozen=True)
class Rows:
    """What to learn from."""

    __pydantic_config__: ClassVar[Any] = STRICT

    address: str = "digits"  # digits, folder:..., csv:..., parquet:..., jsonl:..., npz:..., idx:..., hf:...
    target: str = ""  # the column to predict, where there are columns
    text: str = ""  # the column with the text, where there is one
    task: str = choice("", "classify", "multilabel", "regress", "lm")  # '' = seen from the target
    valid: float = span(0.15, 0.01, 0.5)  # share kept for choosing, where no split is given
    test: float = span(0.2, 0.01, 0.9)  # share kept for the score, where no split is given
    limit: int = span(0, 0, 10**9)  # training rows used; 0 = all


@dataclass(frozen=True)
class Language:
    """What only language models are asked (data.task = "lm")."""

    __pydantic_config__: ClassVar[Any] = STRICT

    length: int = span(512, 2, 2**20)  # tokens of a row at most
    pack: bool = True  # several texts in a row, which don't see one another
    more: int = span(64, 1, 2**16)  # tokens written after a prompt
    warmth: float = span(1.0, 1e-2, 100)  # the temperature they are written at


# what suits language models where nothing else is said
SPOKEN: dict[str, Any] = {
    "epochs": 1,
    "batch": 8,
    "optimiser": "adamw",
    "lr": 5e-4,
    "weight_decay": 0.01,
    "clip": 1.0,
    "judgements": 5,
    "checkpoints": 5,
}
SPOKEN_ROWS: dict[str, Any] = {"valid": 0.05, "test": 0.05}
SPOKEN_METHOD: dict[str, Any] = {"name": "kd", "t": 1.0, "a": 0.5}


@dataclass(frozen=True)
class Config:
    """A teacher, a student, rows, a method, a budget."""

    __pydantic_config__: ClassVar[Any] = STRICT

    teacher: str = "digits"  # an address; one without weights is trained on the labels first
    student: str = "tiny-cnn"
    data: Rows = field(default_factory=Rows)
    method: dict[str, Any] = field(default_factory=lambda: {"name": "kd"})
    training: Training = field(default_factory=Training)
    teacher_training: Training = field(default_factory=Training)
    lm: Language = field(default_factory=Language)
    augment: Change = field(default_factory=Change)  # views of pictures, one an epoch in turn
    signal: str = "online"  # where the teacher's word comes from: online, store:<folder>, or, of language models, on-policy
    alone: bool = True  # also train the student without the teacher, to see what the teacher was worth
    folder: str = "runs"
    track: tuple[str, ...] = ()  # told of the run as it goes: tensorboard, mlflow, wandb, trackio

    def __post_init__(self) -> None:
        check(self.training, "training")
        check(self.teacher_training, "teacher_training")
        check(self.data, "data")
        check(self.lm, "lm")
        known = self.signal in ("online", "on-policy") or (self.signal.startswith("store:") and len(self.signal) > 6)
        if not known:
            raise refuse("signal", self.signal, "online, on-policy or store:<folder>", "`understudy label` writes such a folder")
        if self.signal == "on-policy" and self.data.task != "lm":
            raise refuse("signal", self.signal, "online or store:<folder>: only language models write", "give --task lm")
        if self.augment.views and self.data.task == "lm":
            raise refuse("augment.views", self.augment.views, "0 for language models: views are of pictures")
        if self.lm != Language() and self.data.task != "lm":
            raise refuse("lm", dataclasses.asdict(self.lm), "left as it is: the task isn't lm", "give --task lm")
        object.__setattr__(self, "method", registry.build(self.method).config())
        object.__setattr__(self, "track", named(self.track))

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def read(path: str | Path) -> dict[str, Any]:
    """A .toml, .yaml, .yml or .json file as a dictionary. Raises `Refused` where it's missing or malformed."""
    import tomllib

    import yaml

    path = Path(path)
    readers = {".toml": tomllib.loads, ".yaml": yaml.safe_load, ".yml": yaml.safe_load, ".json": json.loads}
    if path.suffix not in readers:
        raise refuse("config", str(path), f"a file that ends in {', '.join(readers)}")
    try:
        found = readers[path.suffix](path.read_text())
    except (OSError, ValueError, yaml.YAMLError) as e:
        raise refuse("config", str(path), f"a readable {path.suffix[1:]} file ({str(e).splitlines()[0]})") from None
    if not isinstance(found, dict):
        raise refuse("config", str(path), "a table of settings at the top")
    return found


def build(given: dict[str, Any]) -> Config:
    """A checked configuration from plain data; unknown keys and values out of range are refused by name. `data` and `method` may be
    given as one word, `track` as several with commas: {'data': 'digits', 'method': 'kd', 'track': 'mlflow,wandb'}."""
    from pydantic import TypeAdapter, ValidationError

    given = dict(given)
    for key, inner in (("data", "address"), ("method", "name")):
        if isinstance(given.get(key), str):
            given[key] = {inner: given[key]}
    if isinstance(given.get("track"), str):
        given["track"] = named(given["track"])
    if isinstance(given.get("data"), dict) and given["data"].get("task") == "lm":
        given["training"] = SPOKEN | dict(given.get("training", {}))
        given["data"] = SPOKEN_ROWS | given["data"]
        given.setdefault("method", SPOKEN_METHOD)
    try:
        return TypeAdapter(Config).validate_json(
            json.dumps(given)
        )  # as JSON, where a table may stand for a dataclass even under strict rules
    except ValidationError as e:
        first = e.errors()[0]
        where = ".".join(map(str, first["loc"]))
        if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            owner = (
                {"training": Training, "teacher_training": Training, "data": Rows, "lm": Language}.get(
                    str(first["loc"][0]), Config
                )
                if len(first["loc"]) > 1
                else Config
            )
            known = [f.name for f in dataclasses.fields(owner)]
            raise refuse(where, first["input"], f"{', '.join(known)} can be set{nearest(str(first['loc'][-1]), known)}") from None
        error = first.get("ctx", {}).get("error")
        raise (error if isinstance(error, ValueError) else refuse(where, first["input"], first["msg"])) from None


def to_toml(config: Config) -> str:
    """The complete configuration, as a file that `build(read(...))` takes."""
    import tomli_w

    return tomli_w.dumps(config.to_dict())
