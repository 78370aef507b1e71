"""From the command line to a checked configuration: a file may set everything, options come after it."""

from __future__ import annotations

from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from typer import Option

from understudy.config import Config
from understudy.core import registry
from understudy.core.errors import refuse
from understudy.trust import settings as only_data_in


def _methods(incomplete: str) -> list[str]:
    return [name for name in registry.files() if name.startswith(incomplete)]


WHAT, BUDGET, ROWS, WHERE = "What", "Budget", "Rows", "Where and how"
Data = Annotated[
    str | None, Option(help="Rows: digits, folder:…, csv:…, parquet:…, jsonl:…, npz:…, idx:… or hf:…", rich_help_panel=WHAT)
]
Target = Annotated[str | None, Option(help="The column to predict.", rich_help_panel=ROWS)]
Text = Annotated[str | None, Option(help="The column with the text.", rich_help_panel=ROWS)]
Task = Annotated[
    str | None,
    Option(
        help="classify, multilabel or regress, seen from the target when left out; lm for language models.", rich_help_panel=ROWS
    ),
]
Limit = Annotated[int | None, Option(help="Use at most so many rows.", rich_help_panel=ROWS)]
SkipBad = Annotated[
    int | None,
    Option(help="Pass over so many steps whose loss or gradient isn't finite, before one stops the run.", rich_help_panel=BUDGET),
]
Sets = Annotated[list[str] | None, Option("--set", metavar="NAME=VALUE", rich_help_panel=WHAT,
                                          help="A field of the method (t=2), or of a part of the configuration (training.warmup=50). Repeatable.")]  # fmt: skip
File = Annotated[
    Path | None,
    Option(
        "--config",
        metavar="FILE",
        help="A .toml, .yaml or .json file that may set everything; options override it.",
        rich_help_panel=WHERE,
    ),
]
Trust = Annotated[
    bool,
    Option(
        "--trust",
        help="Let addresses in the file, or in the run's config.json, import code and ask servers (torch:, openai:).",
        rich_help_panel=WHERE,
    ),
]


def configuration(
    *,
    teacher: Annotated[
        str | None,
        Option(
            help="The model to learn from: an address such as digits, cnn, hf:org/name, timm:name, file:….safetensors",
            rich_help_panel=WHAT,
        ),
    ] = None,
    student: Annotated[
        str | None,
        Option(help="The model that learns: an address such as tiny-cnn, or shrink:0.1 of the teacher.", rich_help_panel=WHAT),
    ] = None,
    method: Annotated[
        str | None, Option(help="How; see `understudy list`.", autocompletion=_methods, rich_help_panel=WHAT)
    ] = None,
    data: Data = None,
    sets: Sets = None,
    epochs: Annotated[int | None, Option(help="Passes over the training rows.", rich_help_panel=BUDGET)] = None,
    batch: Annotated[int | None, Option(help="Rows a step.", rich_help_panel=BUDGET)] = None,
    lr: Annotated[float | None, Option(help="Learning rate; falls to 0 along a cosine.", rich_help_panel=BUDGET)] = None,
    seed: Annotated[int | None, Option(help="Of everything that is left to chance.", rich_help_panel=BUDGET)] = None,
    skip_bad_batches: SkipBad = None,
    alone: Annotated[
        bool | None,
        Option("--alone/--no-alone", help="Train the student without the teacher too, to compare.", rich_help_panel=BUDGET),
    ] = None,
    target: Target = None,
    text: Text = None,
    task: Task = None,
    limit: Limit = None,
    signal: Annotated[
        str | None,
        Option(
            help="Where the teacher's word comes from: online, store:<folder>, or, of language models, on-policy (the student writes, the teacher judges).",
            rich_help_panel=WHAT,
        ),
    ] = None,
    views: Annotated[
        int | None, Option(help="So many views of each picture, moved and zoomed, one an epoch in turn.", rich_help_panel=ROWS)
    ] = None,
    length: Annotated[int | None, Option(help="Language models: tokens of a row at most.", rich_help_panel=ROWS)] = None,
    folder: Annotated[str | None, Option(help="Where runs are kept.", rich_help_panel=WHERE)] = None,
    track: Annotated[
        str | None,
        Option(help="Tell trackers as it goes: tensorboard, mlflow, wandb, trackio; several with commas.", rich_help_panel=WHERE),
    ] = None,
    file: File = None,
    trust: Trust = False,
) -> Config:
    """The checked configuration of the file and the options. Raises `Refused` on unknown keys and values out of range, by name."""
    from understudy import config

    given = config.read(file) if file else {}
    written = _addresses(given)
    for key, inner in (("data", "address"), ("method", "name")):
        if isinstance(given.get(key), str):
            given[key] = {inner: given[key]}
    for key in (*config.TABLES, "method"):
        if not isinstance(given.get(key, {}), dict):
            raise refuse(key, given[key], "a table of settings" + (", or a name" if key == "method" else ""), f"in {file}")
    lm = (task or _table(given, "data").get("task")) == "lm"
    if lm and not method and not _table(given, "method"):
        given["method"] = dict(config.SPOKEN_METHOD)
    name = method or _table(given, "method").get("name", "kd")
    if method and _table(given, "method").get("name") != method:
        given["method"] = {}  # another method's fields are not this one's
    options = {"teacher": teacher, "student": student, "method.name": name, "data.address": data, "data.target": target, "data.text": text,
               "data.task": task, "data.limit": limit, "training.epochs": epochs, "training.batch": batch, "training.lr": lr,
               "training.seed": seed, "training.skip_bad_batches": skip_bad_batches, "teacher_training.skip_bad_batches": skip_bad_batches, "alone": alone,
               "folder": folder, "track": track, "signal": signal, "augment.views": views, "lm.length": length}  # fmt: skip
    for path, value in options.items():
        if value is not None:
            _put(given, path, value)
    for text_ in sets or ():
        path, value = setting(text_, str(name))
        _put(given, path, value)
    if not trust:  # what a file says alone; what an option says too, a person has typed
        asked = {"teacher": teacher, "student": student, "data": data, "signal": signal}
        only_data_in({k: v for k, v in written.items() if asked[k] is None}, file)
    return config.build(given)


def _addresses(given: dict[str, Any]) -> dict[str, str]:
    """Those of a file's settings, by field."""
    found = {"teacher": given.get("teacher"), "student": given.get("student"), "signal": given.get("signal"),
             "data": given["data"].get("address") if isinstance(given.get("data"), dict) else given.get("data")}  # fmt: skip
    return {k: v for k, v in found.items() if isinstance(v, str)}


def setting(text: str, method: str) -> tuple[str, Any]:
    """`t=2` -> ('method.t', 2.0), `training.warmup=5` -> ('training.warmup', 5), typed by the field of that name."""
    from understudy import config

    path, sign, value = text.partition("=")
    if not sign or not path:
        raise refuse("--set", text, "NAME=VALUE", "for instance --set t=4")
    head, dot, name = path.partition(".")
    tables: dict[str, Any] = {
        "training": config.Training,
        "teacher_training": config.Training,
        "data": config.Rows,
        "lm": config.Language,
        "augment": config.Change,
    }
    if dot and head in tables:
        return path, typed(value, get_type_hints(tables[head]).get(name, str), path)
    if dot and head != "method":
        raise refuse("--set", text, f"a field of {method}, or of {', '.join(tables)}")
    name = name if dot else path
    return f"method.{name}", typed(value, get_type_hints(registry.get(method)).get(name, str), f"{method}.{name}")


def typed(text: str, hint: Any, where: str) -> Any:
    """Text as a field of that type would have it; left as it is where it doesn't read as one, for the field to refuse by name."""
    kinds = get_args(hint) if get_origin(hint) in (UnionType, Union) else (hint,)
    if bool in kinds:
        if text.lower() not in ("true", "false"):
            raise refuse(where, text, "true or false")
        return text.lower() == "true"
    several = next((k for k in kinds if get_origin(k) is tuple), None)
    if several is not None and ("," in text or str not in kinds):
        return [typed(part.strip(), get_args(several)[0], where) for part in text.split(",") if part.strip()]
    for kind in (k for k in kinds if k in (int, float)):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _table(given: dict[str, Any], key: str) -> dict[str, Any]:
    value = given.get(key)
    return value if isinstance(value, dict) else {}


def _put(given: dict[str, Any], path: str, value: Any) -> None:
    *tables, last = path.split(".")
    for table in tables:
        if not isinstance(given.get(table), dict):
            given[table] = {}
        given = given[table]
    given[last] = value
