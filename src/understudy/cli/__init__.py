"""The command line: one thin file a command; torch is imported by those that need it, when they run."""

from __future__ import annotations

import atexit
import os
import sys
from typing import Annotated

import typer

from understudy import __version__
from understudy.cli import (
    advise,
    board,
    compare,
    distill,
    doctor,
    eval,
    export,
    label,
    list,
    plan,
    prove,
    rehearse,
    resume,
    show,
    study,
)
from understudy.cli import write as writing
from understudy.cli.shared import Main, command, write

ENDS = ("Exit codes: [bold]0[/] done · [bold]1[/] a check or a proof didn't hold · [bold]2[/] refused input · [bold]3[/] stopped, a loss was not "
        "finite · [bold]130[/] interrupted (Ctrl-C), and told how to go on.")  # fmt: skip
MORE = "Every command takes [bold cyan]--json[/] (one JSON document on stdout) and [bold cyan]--traceback[/] (or UNDERSTUDY_TRACEBACK=1)."

app = typer.Typer(cls=Main, name="understudy", rich_markup_mode="rich", pretty_exceptions_enable=False, epilog=f"{ENDS}\n\n{MORE}",
                  context_settings={"help_option_names": ["-h", "--help"]})  # fmt: skip


def _version(asked: bool) -> None:
    if asked:
        write(f"understudy {__version__}\n")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def start(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Train small models to stand in for big ones."""
    if ctx.invoked_subcommand is None:
        write(ctx.get_help() + "\n")


TRAIN, LOOK, CHECK = "Train", "Look", "Check"
command(app, distill.distill, panel=TRAIN, examples=distill.EXAMPLES)
command(app, resume.resume, panel=TRAIN, examples=resume.EXAMPLES)
command(app, writing.write, panel=TRAIN, examples=writing.EXAMPLES)
command(
    app,
    label.label,
    panel=TRAIN,
    examples=label.EXAMPLES,
    leave=("method", "epochs", "lr", "alone", "skip_bad_batches", "signal", "folder", "track"),
)
command(app, eval.evaluate, "eval", panel=TRAIN, examples=eval.EXAMPLES)
command(app, export.export, panel=TRAIN, examples=export.EXAMPLES)
command(app, rehearse.rehearse, panel=TRAIN, examples=rehearse.EXAMPLES)
command(app, list.methods, "list", panel=LOOK, examples=list.EXAMPLES)
command(app, show.show, panel=LOOK, examples=show.EXAMPLES)
command(app, board.board, panel=LOOK, examples=board.EXAMPLES)
command(
    app,
    advise.advise,
    panel=LOOK,
    examples=advise.EXAMPLES,
    leave=("method", "alone", "skip_bad_batches", "signal", "length", "track"),
)
command(app, plan.plan, panel=LOOK, examples=plan.EXAMPLES)
command(app, doctor.doctor, panel=CHECK, examples=doctor.EXAMPLES)
command(app, compare.compare, panel=CHECK, examples=compare.EXAMPLES, leave=("method", "alone", "skip_bad_batches", "track"))
command(app, prove.prove, panel=CHECK, examples=prove.EXAMPLES)
command(app, study.study, panel=CHECK, examples=study.EXAMPLES)


def main() -> None:
    """The entry point."""
    ended: list[int] = []
    atexit.register(_leave, ended)  # before what the run registers, so after it
    try:
        app(prog_name="understudy")
    except SystemExit as end:
        ended.append(end.code if isinstance(end.code, int) else int(end.code is not None))
        raise


def _leave(ended: list[int]) -> None:
    """One of several processes goes at once: gloo's threads may outlive what they stand on, and abort a process that is done."""
    if ended and int(os.environ.get("WORLD_SIZE", "1")) > 1 and (torch := sys.modules.get("torch")) is not None:
        if ended == [0] and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended[0])
