"""The settings of the main job. The dataclasses are the configuration; a TOML, YAML or JSON file may set them, data only."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from understudy.core import registry
from understudy.core.errors import nearest, refuse
from understudy.core.fields import check, choice, span
from understudy.parts.change import Change
from understudy.track import named


@dataclass(frozen=True)
class Training:
    """How a student learns. The same budget holds for the student trained alone, to which it is compared."""

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
    skip_bad_batches: int = span(0, 0, 10**9)  # steps passed over as a loss or gradient isn't finite, before one stops the run


@dataclass(frozen=True)
class Rows:
    """What to learn from."""

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
        check(self, "")
        for name, cls in TABLES.items():
            table = getattr(self, name)
            if not isinstance(table, cls):
                raise refuse(name, table, f"a {cls.__name__}", f"understudy.config.{cls.__name__}(...)")
            check(table, name)
        known = self.signal in ("online", "on-policy") or (self.signal.startswith("store:") and len(self.signal) > 6)
        if not known:
            raise refuse("signal", self.signal, "online, on-policy or store:<folder>", "`understudy label` writes such a folder")
        if self.signal == "on-policy" and self.data.task != "lm":
            raise refuse("signal", self.signal, "online or store:<folder>: only language models write", "give --task lm")
        if self.augment.views and self.data.task == "lm":
            raise refuse("augment.views", self.augment.views, "0 for language models: views are of pictures")
        if self.lm != Language() and self.data.task != "lm":
            raise refuse("lm", dataclasses.asdict(self.lm), "left as it is: the task isn't lm", "give --task lm")
        if not isinstance(self.method, dict):
            raise refuse("method", self.method, "a name, or a table with name and fields", "see `understudy list`")
        object.__setattr__(self, "method", registry.build(self.method).config())
        object.__setattr__(self, "track", named(self.track))

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def read(path: str | Path) -> dict[str, Any]:
    """A .toml, .yaml, .yml or .json file as a dictionary. Raises `Refused` where it's missing or malformed, or says a thing twice."""
    import tomllib

    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            _once([(key.value, None) for key, _ in node.value if isinstance(key, yaml.ScalarNode)])
            return super().construct_mapping(node, deep)

    def from_yaml(text: str) -> Any:
        return yaml.load(text, Loader)

    def from_json(text: str) -> Any:
        return json.loads(text, object_pairs_hook=_once)

    path = Path(path)
    readers: dict[str, Callable[[str], Any]] = {".toml": tomllib.loads, ".yaml": from_yaml, ".yml": from_yaml, ".json": from_json}
    if path.suffix not in readers:
        raise refuse("config", str(path), f"a file that ends in one of {', '.join(readers)}")
    try:
        found = readers[path.suffix](path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as e:
        raise refuse("config", str(path), f"a readable {path.suffix[1:]} file", " ".join(str(e).split())) from None
    if not isinstance(found, dict):
        raise refuse("config", str(path), "a table of settings at the top", "for instance teacher: digits")
    return found


def _once(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    for key, value in pairs:
        if key in made:
            raise ValueError(f"'{key}' is there twice")
        made[key] = value
    return made


TABLES = {"training": Training, "teacher_training": Training, "data": Rows, "lm": Language, "augment": Change}


def build(given: dict[str, Any]) -> Config:
    """A checked configuration from plain data; unknown keys and values out of range are refused by name. `data` and `method` may be
    given as one word, `track` as several with commas: {'data': 'digits', 'method': 'kd', 'track': 'mlflow,wandb'}."""
    if not isinstance(given, dict):
        raise refuse("config", given, "a table of settings", "for instance {'method': 'kd'}")
    given = dict(given)
    for key, inner in (("data", "address"), ("method", "name")):
        if isinstance(given.get(key), str):
            given[key] = {inner: given[key]}
    tables = {name: known(cls, given[name], name) for name, cls in TABLES.items() if name in given}
    if tables.get("data", {}).get("task") == "lm":
        tables["training"] = SPOKEN | tables.get("training", {})
        tables["data"] = SPOKEN_ROWS | tables["data"]
        given.setdefault("method", SPOKEN_METHOD)
    made = {name: TABLES[name](**table) for name, table in tables.items()}
    return Config(**known(Config, given, "") | made)


def known(cls: Any, given: Any, where: str) -> dict[str, Any]:
    """A table, of which every key is a field. Raises `Refused`."""
    known = [f.name for f in dataclasses.fields(cls)]
    if not isinstance(given, dict):
        raise refuse(where, given, f"a table of {', '.join(known)}", "leave it out")
    for key, value in given.items():
        if key not in known:
            raise refuse(f"{where}.{key}" if where else str(key), value, f"{', '.join(known)} can be set{nearest(key, known)}")
    return dict(given)


def to_toml(config: Config) -> str:
    """The complete configuration, as a file that `build(read(...))` takes."""
    import tomli_w

    return tomli_w.dumps(config.to_dict())
