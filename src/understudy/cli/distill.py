"""understudy distill"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.markup import escape
from typer import Option

from understudy.cli.settings import WHERE
from understudy.cli.shared import Answer, Rejected, bars, leads, resumable, say, waiting
from understudy.config import Config, to_toml
from understudy.core.errors import refuse
from understudy.core.fields import text

if TYPE_CHECKING:
    from understudy.job import Job

EXAMPLES = ("understudy distill --teacher digits --student tiny-cnn --method dkd --data digits",
            "understudy distill --teacher hf:./bert --student shrink:0.1 --data csv:mails.csv --text body",
            "understudy distill --method kd --set t=2 --print-config > job.toml",
            "understudy distill --config job.toml --seed 1")  # fmt: skip


def distill(
    config: Config,
    run_id: Annotated[
        str | None,
        Option(help="The run's name in the folder; the time, the method and the data when left out.", rich_help_panel=WHERE),
    ] = None,
    force: Annotated[bool, Option("--force", help="Go on although the doctor finds errors.", rich_help_panel=WHERE)] = False,
    print_config: Annotated[
        bool, Option("--print-config", help="Print the complete configuration as TOML, and stop.", rich_help_panel="Output")
    ] = False,
) -> Answer:
    """Teach a student what a teacher knows; a report, weights and an ONNX file come out."""
    if print_config:
        return Answer(config.to_dict(), to_toml(config))
    folder = _folder(config.folder, run_id)
    with waiting(f"loading {config.teacher}, {config.student} and {config.data.address} …"):
        from understudy.checks import doctor
        from understudy.job import plan

        job = plan(config, folder=folder)
        findings = doctor(job)
    consult(findings, force)
    return finish(job)


def finish(job: Job) -> Answer:
    """Train what is left to train, and show what was found."""
    say(
        f"[bold]{escape(job.config.student)}[/] learns from [bold]{escape(job.guide)}[/] by [bold cyan]{escape(job.method.name)}[/]"
    )
    say(f"[dim]{escape(job.data.name)} · {job.world.size:,} rows · {job.world.steps:,} steps · {escape(str(job.folder))}[/]")
    with resumable(job.folder), bars() as bar:
        job.run(bar=bar, note=bar.note)
    if job.findings is None:  # not the process that writes
        return Answer(None)
    import json

    from understudy.report.terminal import FILES, summary

    if job.world.task == "lm":
        from understudy.report.spoken import summary  # type: ignore[assignment]
    files = {name: str(job.folder / name) for name in FILES if (job.folder / name).exists()}
    return Answer(
        {"run": str(job.folder), "files": files, "findings": json.loads(job.findings.to_json())},
        summary(job.findings, job.folder),
    )


def consult(findings: list[Any], force: bool) -> None:
    """Print the doctor's warnings; its errors stop, unless they are to be ignored."""
    marks = {"error": "[bold red]✘[/]", "warning": "[bold yellow]![/]"}
    errors = [f for f in findings if f.level == "error"]
    for f in findings:
        if f.level == "warning" or (f.level == "error" and (force or len(errors) > 1)):  # one alone is told as the reason to stop
            say(f"{marks[f.level]} {escape(f.name)}: {escape(f.message)}")
    if errors and not force:
        plain = [{"level": f.level, "name": f.name, "message": f.message} for f in findings]
        told = f"{errors[0].name}: {errors[0].message}" if len(errors) == 1 else f"the doctor found {len(errors)} errors"
        raise Rejected(f"{told} (--force goes on all the same)", findings=plain)


def _folder(root: str, run_id: str | None) -> Path | None:
    if run_id is None:
        return None
    if not run_id or Path(run_id).name != run_id or run_id in (".", "..") or not text(run_id) or len(run_id) > 100:
        raise refuse("--run-id", run_id, "a name for one folder, without slashes, of at most 100 letters")
    folder = Path(root) / run_id
    if leads() and (folder / "config.json").exists():
        raise refuse(
            "--run-id",
            run_id,
            f"a run that isn't there yet; {folder} is",
            f"go on with it by `understudy resume {folder}`, or choose another name",
        )
    return folder
