"""understudy export"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.console import Group
from rich.text import Text
from typer import Argument, Option

from understudy.cli.settings import Trust
from understudy.cli.shared import Answer, complete_runs, waiting
from understudy.export import kind_of

if TYPE_CHECKING:
    from understudy.export.ship import Cost, Shipped

EXAMPLES = ("understudy export runs/2026-11-21-093000-dkd-digits --to student.onnx --to student.int8.onnx",
            "understudy export runs/2026-11-21-093000-dkd-digits --to student.pt2 --to my-student")  # fmt: skip


def export(
    run: Annotated[Path, Argument(help="A finished run's folder.", autocompletion=complete_runs)],
    to: Annotated[
        list[Path],
        Option(help="A path that ends in .safetensors, .onnx, .int8.onnx or .pt2, or a folder (no ending). Repeatable."),
    ],
    trust: Trust = False,
) -> Answer:
    """Write a finished run's student as files to deploy.

    .onnx and .pt2 (torch.export) are programs: they are run on validation rows, 1, 3 and 64 at a time, and compared with the network
    before they are kept. .int8.onnx is quantised with training rows; what that costs on the validation rows is printed. A folder is
    in the hub's format, with a model card; a language model is always one."""
    for path in to:
        kind_of(path)
    with waiting(f"loading {run} …"):
        from understudy.job import resume

        job = resume(run, trust=trust).finished()
    shipped = []
    for path in to:
        with waiting(f"writing {path} …"):
            shipped.append(job.ship(path))
    return Answer({"run": str(run), "files": [s.to_dict() for s in shipped]}, Group(*map(_shown, shipped)))


def _shown(s: Shipped) -> Group:
    from understudy.report import words

    line = Text.assemble(("✔ ", "bold green"), (str(s.path), "bold"), (f"  {words.size(s.bytes)}", "dim"))
    if s.difference is not None:
        where = {"program": "loaded again"}.get(s.kind, "run by ONNX Runtime")
        line.append(f"  {where} on {s.rows} validation rows, 1, 3 and 64 at a time: largest difference {s.difference:.1g}", "dim")
    return Group(line, *([] if s.cost is None else [_cost(s.cost)]))


def _cost(c: Cost) -> Text:
    from understudy.report import words

    full, int8 = c.full, c.int8
    agree = f"R² {c.agreement:.4f}" if c.metric == "r2" else words.percent(c.agreement)
    size = f"{words.size(full.bytes)} → {words.size(int8.bytes)}" + (", which is no smaller" if int8.bytes >= full.bytes else "")
    speed = ", ".join(
        f"{full.latency_ms[n]:.3g} → {int8.latency_ms[n]:.3g} ms for {n} {'row' if n == 1 else 'rows'}" for n in (1, 64)
    )
    score = f"{c.metric} {words.other(c.metric, full.score)} → {words.other(c.metric, int8.score)} on {c.rows:,} validation rows"
    return Text(f"  {c.how}: {score}, agreement {agree}\n  {size} · {speed}", "dim")
