"""What a finished run leaves behind: weights, a deployable file, a report, a model card, the numbers."""

from __future__ import annotations

import inspect
import json
import shlex
import warnings
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from understudy.config import Config
from understudy.core import registry
from understudy.core.batch import Views, each, rows_in
from understudy.core.errors import Refused
from understudy.core.files import write_atomically
from understudy.export.measure import parameters, size_bytes
from understudy.export.onnx import export_onnx
from understudy.export.safetensors import save_weights
from understudy.report import costs, origin
from understudy.report import findings as found
from understudy.report.earlier import earlier
from understudy.tasks import task
from understudy.worlds.rows import answers

if TYPE_CHECKING:
    from understudy.job import Job


def publish(job: Job, made: dict[str, nn.Module], seconds: float) -> found.Findings:
    """Score on the test rows, for the first and only time, and write the run's files."""
    from understudy.job import history
    from understudy.report.card import model_card
    from understudy.report.html import write_report

    test, student = job.world.data.test, made["student"]
    nets = {"teacher": job.teacher} | made
    outs = {name: answers(net, test.x) for name, net in nets.items()}
    save_weights(student, job.folder / "student.safetensors", arch=job.config.student)
    difference: float | None = None
    try:
        real = each(own(job.world.data.valid.x, "student"), lambda t: t[:64])
        difference = export_onnx(student, real, job.folder / "student.onnx")
    except Refused as e:  # the student is trained, and its weights and report are worth having without the file
        warnings.warn(f"no student.onnx: {e}", stacklevel=2)
    files = {p.name: p for p in (job.folder / "student.safetensors", job.folder / "student.onnx") if p.exists()}
    if difference is None:
        files.pop("student.onnx", None)
    rows = {name: own(job.world.data.valid.x, "teacher" if name == "teacher" else "student") for name in nets}
    times = costs.timings(nets, rows, {"student": files["student.onnx"]} if "student.onnx" in files else None)
    measured = {name: _measured(job, name, net, outs[name], test, rows[name], times[name]) for name, net in nets.items()}
    method, kind, hashed = job.method, task(job.world.task), job.data.fingerprint()
    findings = found.Findings(
        title=f"{job.data.name}: {job.config.student} learns from {job.config.teacher} by {method.name}",
        method=found.Recipe(method.name, equation(method), method.card.paper, method.config()),
        task=kind.name,
        metric=kind.metric,
        data=found.Rows(
            job.data.name,
            {"train": len(job.data.train), "valid": len(job.data.valid), "test": rows_in(test.x)},
            tuple(job.data.classes),
            tuple(getattr(job.data, "columns", ())),
        ),
        teacher=measured["teacher"],
        student=measured["student"],
        alone=measured.get("alone"),
        agreement=found.agreement(kind.name, outs["teacher"], outs["student"]),
        seconds=seconds,
        environment=origin.environment(),
        command=command(job),
        onnx_difference=difference,
        origin=origin.origin(hashed, outs["teacher"], teacher=nets["teacher"], student=student, student_alone=made.get("alone")),
        files={name: path.stat().st_size for name, path in files.items()},
        history=_curves(history(job.folder)),
        teacher_out=outs["teacher"],
        student_out=outs["student"],
        y=test.y,
        x=shown(job),
    )
    findings = replace(findings, earlier=earlier(job.folder, hashed, json.loads(findings.to_json())))
    write_atomically(job.folder / "findings.json", findings.to_json())
    write_atomically(job.folder / "README.md", model_card(findings))
    write_report(findings, job.folder / "report.html")
    return findings


def own(x: Any, name: str) -> Any:
    """What a network of that name sees, of rows that may hold a view for each."""
    return x.of(name) if isinstance(x, Views) else x


def equation(method: Any) -> str:
    """The indented lines of a method's docstring, which are its equation."""
    lines = [line for line in inspect.cleandoc(type(method).__doc__ or "").splitlines() if line.startswith("    ")]
    return "\n".join(line[4:] for line in lines)


def command(job: Job) -> str:
    """What to type to see this run again."""
    c, plain = job.config, Config()
    if job.objects:
        return f"understudy.resume({str(job.folder)!r}, {', '.join(f'{o}=...' for o in job.objects)}).run()"
    if c.method["name"] == "compose":
        return shlex.join(["understudy", "distill", "--config", str(job.folder / "config.toml")])
    own = registry.get(c.method["name"])().config()
    words = [
        "understudy",
        "distill",
        "--teacher",
        c.teacher,
        "--student",
        c.student,
        "--data",
        c.data.address,
        "--method",
        c.method["name"],
    ]
    changed = [f"{k}={v}" for k, v in c.method.items() if own[k] != v]
    for section, default in (("training", plain.training), ("teacher_training", plain.teacher_training), ("data", plain.data)):
        changed += [
            f"{section}.{k}={v}" for k, v in asdict(getattr(c, section)).items() if k != "address" and v != getattr(default, k)
        ]
    return shlex.join(words + [w for change in changed for w in ("--set", change)] + ([] if c.alone else ["--no-alone"]))


def shown(job: Job) -> Any:
    """The test rows as a reader wants them: pictures, texts or numbers."""
    split, mean, std = job.data.test, job.data.mean, job.data.std
    if job.data.kind == "table" and mean is not None and std is not None:
        return split.x * std + mean
    return split.raw if getattr(split, "raw", None) else split.x


def _measured(
    job: Job, name: str, net: nn.Module, out: torch.Tensor, test: Any, rows: Any, times: tuple[found.Timing, ...]
) -> found.Measured:
    from understudy.job import TEACHERS

    kind, c = task(job.world.task), job.config
    metrics, one = kind.metrics(out, test.y), each(rows, lambda t: t[:1])
    called = {"teacher": TEACHERS.get(c.teacher, c.teacher), "student": c.student, "alone": f"{c.student}, labels only"}[name]
    return found.Measured(
        called,
        metrics[kind.metric],
        metrics,
        parameters(net),
        size_bytes(net),
        times[0].median,
        costs.flops(lambda: net(one)),
        times,
    )


def _curves(points: list[dict[str, Any]]) -> list[dict[str, float]]:
    """The student's own points."""
    return [{k: v for k, v in p.items() if k != "phase"} for p in points if p["phase"] == "student"]
