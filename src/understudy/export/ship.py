"""A finished run's student as a file or a folder to deploy, and what was seen of it on real rows."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from understudy.core.batch import each, rows_in
from understudy.core.errors import Refused
from understudy.core.files import beside, sweep, writing
from understudy.export import kind_of
from understudy.export.onnx import SIZES, export_onnx, session_of, some
from understudy.export.program import export_program
from understudy.export.quantise import answers, export_int8
from understudy.export.safetensors import save_weights
from understudy.kept import understood
from understudy.models.wrap import HF
from understudy.publish import own, shown
from understudy.report.findings import Findings, agreement
from understudy.tasks import task

if TYPE_CHECKING:
    from understudy.job import Job

ROWS = 64  # validation rows that a file is compared on


@dataclass(frozen=True)
class Graph:
    """An ONNX file on the validation rows: its score by the task's metric, bytes, and median milliseconds of a batch of 1 and of 64."""

    score: float
    bytes: int
    latency_ms: dict[int, float]


@dataclass(frozen=True)
class Cost:
    """What eight bits cost. how: 'static' or 'dynamic'; agreement: of the two graphs' decisions, as in `report.findings.agreement`;
    rows: validation rows that both answered."""

    how: str
    metric: str
    rows: int
    agreement: float
    full: Graph
    int8: Graph


@dataclass(frozen=True)
class Shipped:
    """What was written. difference: the largest absolute one between its answers and the network's on `rows` validation rows, asked 1,
    3 and 64 at a time; None where the file holds weights and no program. cost: of int8 alone."""

    path: Path
    kind: str
    bytes: int
    difference: float | None = None
    rows: int = 0
    cost: Cost | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain data, without what isn't known."""
        told = dataclasses.asdict(self) | {
            "path": str(self.path),
            "rows": self.rows or None,
            "batches": list(SIZES) if self.rows else None,
        }
        return {k: v for k, v in told.items() if v is not None}


def ship(job: Job, path: Path) -> Shipped:
    """Write a finished job's student, and nothing of its teacher, as the path's ending says (see `export.kind_of`).

    Raises `Refused` where the ending is unknown, the student can't become such a file, or the disk refuses; then nothing is written.
    """
    kind = kind_of(path)
    with writing(path):
        sweep(path.absolute())
        return _ship(job, path, kind)


def _ship(job: Job, path: Path, kind: str) -> Shipped:
    net = job.student
    assert net is not None
    if kind == "folder":
        return _folder(job, path)
    if kind == "safetensors":
        save_weights(net, path, arch=job.config.student)
        return Shipped(path, kind, path.stat().st_size)
    if kind == "int8":
        cost = _eight_bits(job, path)
        return Shipped(path, kind, path.stat().st_size, cost=cost)
    rows = each(own(job.world.data.valid.x, "student"), lambda t: t[:ROWS])
    write = export_onnx if kind == "onnx" else export_program
    difference = write(net, rows, path)
    return Shipped(path, kind, path.stat().st_size, difference, rows_in(rows))


def _eight_bits(job: Job, path: Path) -> Cost:
    """Quantise the student's graph with training rows, and measure both graphs on the validation rows."""
    from understudy.report.costs import in_turns

    assert job.student is not None
    train, valid = (own(getattr(job.world.data, part).x, "student") for part in ("train", "valid"))
    y, kind = job.world.data.valid.y, task(job.world.task)
    with tempfile.TemporaryDirectory() as folder:
        full = Path(folder) / "full.onnx"
        export_onnx(job.student, each(valid, lambda t: t[:ROWS]), full)
        how = export_int8(full, path, _arrays(train))
        outs = [torch.as_tensor(answers(file, _arrays(valid))) for file in (full, path)]
        calls = {(i, n): _call(file, _arrays(some(valid, n))) for i, file in enumerate((full, path)) for n in (1, 64)}
        times = {which: statistics.median(t) for which, t in in_turns(calls).items()}
        graphs = [Graph(kind.metrics(out, y)[kind.metric], file.stat().st_size, {n: times[i, n] for n in (1, 64)})
                  for i, (file, out) in enumerate(zip((full, path), outs, strict=True))]  # fmt: skip
    return Cost(how, kind.metric, rows_in(valid), agreement(kind.name, *outs), *graphs)


def _arrays(x: Tensor | dict[str, Tensor]) -> dict[str, Any]:
    return {k: v.numpy() for k, v in ({"x": x} if isinstance(x, Tensor) else x).items()}


def _call(path: Path, rows: dict[str, Any]) -> Any:
    session = session_of(str(path))
    return lambda: session.run(None, rows)


# a folder in the hub's format -----------------------------------------------------------------------------------------------------


def _folder(job: Job, path: Path) -> Shipped:
    """A Transformers model as its own library saves it; another network as weights, a graph (where it can be traced) and what there is
    to know of its input, in config.json. Either with the model card."""
    from understudy.report.card import model_card

    assert job.student is not None
    findings = dataclasses.replace(_findings(job), x=shown(job))
    rows = each(own(job.world.data.valid.x, "student"), lambda t: t[:ROWS])
    difference: float | None = None
    with _whole(path) as made:
        if isinstance(job.student, HF):
            _pretrained(job, made)
            card = model_card(findings, stem="model", transformers=True)
        else:
            save_weights(job.student, made / "model.safetensors", arch=job.config.student)
            with contextlib.suppress(Refused):  # the weights are worth having without a graph
                difference = export_onnx(job.student, rows, made / "model.onnx")
            (made / "config.json").write_text(json.dumps(_about(job, rows), indent=2) + "\n")
            card = model_card(dataclasses.replace(findings, onnx_difference=difference), stem="model")
        (made / "README.md").write_text(card, "utf-8")
    size = sum(p.stat().st_size for p in path.iterdir())
    return Shipped(path, "folder", size, difference, 0 if difference is None else rows_in(rows))


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A folder beside the place that takes it whole, or not at all."""
    made = beside(path.absolute())
    try:
        made.mkdir(parents=True)
        yield made
        os.replace(made, path)  # over an empty folder at most: `kind_of` saw to it
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _findings(job: Job) -> Findings:
    if job.findings is not None:
        found: Findings = job.findings
        return found
    path = job.folder / "findings.json"
    with understood(path, "what a run found, for the model card", f"understudy resume {job.folder}"):
        return Findings.from_json(path.read_text("utf-8"))


def _pretrained(job: Job, folder: Path) -> None:
    from understudy.models import language

    inner, world = job.student.inner, job.world  # type: ignore[union-attr]
    with language.quiet():
        inner.save_pretrained(folder)
    encode, view = world.data.encoders.get("student"), world.views.get("student")
    if encode is not None:
        encode.tokenizer.save_pretrained(folder)
    if view is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(_pixels(view), indent=2) + "\n")


def _pixels(view: Any) -> dict[str, Any]:
    """A normalisation as the hub's image processors state it."""
    told = {"image_processor_type": "ViTImageProcessor", "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True,
            "image_mean": view.mean.flatten().tolist(), "image_std": view.std.flatten().tolist(), "do_resize": bool(view.size)}  # fmt: skip
    return told | ({"size": {"height": view.size, "width": view.size}, "resample": 2} if view.size else {})


def _about(job: Job, rows: Any) -> dict[str, Any]:
    """What a reader of the weights has to know: the network's address, what a row looks like and how it is normalised, the classes."""
    data, view = job.data, job.world.views.get("student")
    inputs = {k: {"shape": ["batch", *t.shape[1:]], "dtype": str(t.dtype).removeprefix("torch.")}
              for k, t in ({"x": rows} if isinstance(rows, Tensor) else rows).items()}  # fmt: skip
    about: dict[str, Any] = {"library_name": "understudy", "arch": job.config.student, "task": job.world.task, "kind": data.kind,
                             "classes": list(data.classes), "columns": list(data.columns), "inputs": inputs}  # fmt: skip
    if view is not None:
        about["normalisation"] = {"mean": view.mean.flatten().tolist(), "std": view.std.flatten().tolist(), "size": view.size}
    if data.vocabulary is not None and isinstance(rows, Tensor):
        about["vocabulary"] = list(data.vocabulary)
    return {k: v for k, v in about.items() if v not in ([], None)}
