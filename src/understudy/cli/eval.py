"""understudy eval"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text
from typer import Argument

from understudy.cli.settings import Data, Limit, Target, Task, Trust
from understudy.cli.settings import Text as TextColumn
from understudy.cli.shared import Answer, complete_runs, waiting
from understudy.core.errors import Refused, refuse

if TYPE_CHECKING:
    from torch import nn

EXAMPLES = ("understudy eval runs/2026-11-21-093000-dkd-digits",
            "understudy eval file:student.safetensors?arch=tiny-cnn --data digits")  # fmt: skip


def evaluate(
    model: Annotated[str, Argument(help="A model's address, or a run's folder: then its student.", autocompletion=complete_runs)],
    *,
    data: Data = None,
    target: Target = None,
    text: TextColumn = None,
    task: Task = None,
    limit: Limit = None,
    trust: Trust = False,
) -> Answer:
    """Score a model, or a run's student, on the test rows.

    A run's student is scored on the run's own rows where no --data is given."""
    from understudy.config import build

    rows: dict[str, Any] = {"address": data, "target": target, "text": text, "task": task, "limit": limit}
    given = {k: v for k, v in rows.items() if v is not None}
    with waiting(f"loading {model} …"):
        folder = Path(model)
        if (folder / "config.json").is_file():
            found, net, x, y = _student(folder, given, trust)
        elif folder.is_dir() or (":" not in model and "/" in model):
            raise refuse("model", model, "a run's folder, with config.json in it, or a model's address", "see `ls runs`")
        else:
            found, net, x, y = _model(model, build({"data": given or "digits"}).data)
    with waiting(f"scoring {model} …"):
        return _scored(model, found, net, x, y)


def _scored(model: str, data: Any, net: nn.Module, x: Any, y: Any) -> Answer:
    from understudy.core.batch import each
    from understudy.export.measure import latency, parameters, size_bytes
    from understudy.report import words
    from understudy.tasks import task
    from understudy.worlds.rows import answers

    metrics = task(data.task).metrics(answers(net, x, "student"), y)
    cost = {"parameters": parameters(net), "bytes": size_bytes(net), "latency_ms": latency(net, each(x, lambda t: t[:1]))}
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(style="bold")
    table.add_column(justify="right", style="bold cyan")
    for name, value in metrics.items():
        table.add_row(name, words.other(name, value))
    about = f"{len(y):,} test rows of {data.name} · {cost['parameters']:,} parameters · {words.size(int(cost['bytes']))} · {words.milliseconds(cost['latency_ms'])} a row"
    return Answer(
        {"model": model, "data": data.name, "rows": len(y), "metrics": metrics} | cost,
        Group(Text(model, "bold"), table, Text(about, "dim")),
    )


def _student(folder: Path, given: dict[str, Any], trust: bool) -> tuple[Any, nn.Module, Any, Any]:
    """A run's student and its test rows, or others that ask the same question."""
    import dataclasses

    from understudy import job as jobs
    from understudy.core.batch import Views

    job = jobs.resume(folder, trust=trust).finished()
    found = job.data
    if given:
        from understudy.config import build

        rows = build({"data": dataclasses.asdict(job.config.data) | given}).data
        found = _load(rows)
        for what in ("kind", "task", "classes", "shape", "columns", "vocabulary"):
            if getattr(found, what) != getattr(job.data, what):
                raise Refused(
                    f"the {what} of {rows.address} differ from those of {job.data.name}, which {folder} learned from: give rows of the same kind"
                )
        x, y = jobs.Splits(found, job.world.data.encoders).test.x, found.test.y
    else:
        x, y = job.world.data.test.x, job.world.data.test.y
    assert job.student is not None
    return found, job.student, x.of("student") if isinstance(x, Views) else x, y


def _model(address: str, rows: Any) -> tuple[Any, nn.Module, Any, Any]:
    from understudy import models

    data = _load(rows)
    loaded = models.load(address, data=data)
    if not loaded.trained:
        raise refuse(
            "model", address, "a model with weights", "a run's folder, hf:…, timm:…, or file:student.safetensors?arch=" + address
        )
    net, test = loaded.net.eval(), data.test
    if loaded.encode is not None:
        return data, net, loaded.encode(test.raw or []), test.y
    if loaded.view is not None:
        view = loaded.view
        net.register_forward_pre_hook(lambda _net, args: (view(args[0]), *args[1:]))
    return data, net, test.x, test.y


def _load(rows: Any) -> Any:
    from understudy import data

    return data.load(rows.address, target=rows.target or None, text=rows.text or None, task=rows.task or None, valid=rows.valid, test=rows.test,
                     limit=rows.limit or None)  # fmt: skip
