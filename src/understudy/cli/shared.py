"""What the commands share: how they answer, how they refuse, what they complete, which rows of a table they draw."""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console, RenderableType
from rich.text import Text
from typer.core import TyperGroup

from understudy.cli import settings
from understudy.core import registry
from understudy.core.errors import NotFinite, Refused, refuse

if TYPE_CHECKING:
    from understudy.report.progress import Bars

OK, BROKEN, REFUSED, STOPPED, INTERRUPTED = 0, 1, 2, 3, 130
WIDE = 160  # columns where nobody looks: a pipe, a file


@dataclass(frozen=True)
class Answer:
    """What a command found: plain data for machines, the same to look at for people (text is written as it is), and the exit code."""

    data: Any
    view: RenderableType | str | None = None
    code: int = OK


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with what to do next."""


class Rejected(Refused):
    """Refused with more to say to machines."""

    def __init__(self, message: str, **data: Any) -> None:
        super().__init__(message)
        self.data = data


class Main(TyperGroup):
    """Prints what a command answers, and turns errors into one line and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        ctx.obj = {name: f"--{name}" in args[:end] for name in ("json", "traceback")} | {"args": list(args)}
        try:
            return super().parse_args(ctx, args)
        except typer.TyperException as e:
            _fail(_line(e, args), ctx.obj["json"], REFUSED, {})

    def invoke(self, ctx: Any) -> Any:
        machine = ctx.obj["json"]
        try:
            with contextlib.redirect_stdout(sys.stderr) if machine else contextlib.nullcontext():
                answer = super().invoke(ctx)
        except Exception as e:
            code = _code(e)
            if code is None or ctx.obj["traceback"] or os.environ.get("UNDERSTUDY_TRACEBACK", "0") not in ("", "0"):
                if code is None or isinstance(e, (typer.Exit, typer.Abort)):
                    raise
                traceback.print_exc()
            _fail(_line(e, ctx.obj["args"]), machine, code, getattr(e, "data", {}))
        except KeyboardInterrupt as e:
            _fail(str(e) or "interrupted", machine, INTERRUPTED, {})
        if isinstance(answer, Answer):
            _print(answer, machine)
            raise typer.Exit(answer.code)
        return answer


def _code(e: Exception) -> int | None:
    """The exit code of an error that the user can mend; None of one that is ours."""
    if isinstance(e, NotFinite):
        return STOPPED
    mine = isinstance(e, (Refused, typer.TyperException)) or (isinstance(e, OSError) and not isinstance(e, BrokenPipeError))
    return REFUSED if mine else None


def _line(e: Exception, args: Sequence[str] = ()) -> str:
    if not isinstance(e, typer.TyperException):  # words of a file or a server may hold what a terminal obeys
        said = " ".join(str(e).split())
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in said)
    ctx, said = getattr(e, "ctx", None), e.format_message().strip().rstrip(".")
    for option in getattr(getattr(e, "param", None), "opts", ()):  # typer doesn't tell the value
        for i, word in enumerate(args):
            value = (
                word.partition("=")[2]
                if word.startswith(f"{option}=")
                else args[i + 1]
                if word == option and i + 1 < len(args)
                else None
            )
            if value is not None and "Input should be " in said:
                said = str(refuse(option, value, said.partition("Input should be ")[2].partition(",")[0]))
    return f"{said} (see `{ctx.command_path if ctx else 'understudy'} --help`)"


def _fail(message: str, machine: bool, code: int, data: dict[str, Any]) -> NoReturn:
    rank = os.environ.get("RANK", "0")
    if machine and leads():
        write(json.dumps({"error": message, "code": code} | data, indent=2) + "\n")
    else:
        mark = Text("✘ ", "bold red") if code != INTERRUPTED else Text("■ ", "bold yellow")
        say(mark.append(message if leads() else f"process {rank}: {message}", "default not bold"), all_of_us=True)
    raise typer.Exit(code) from None


def _print(answer: Answer, machine: bool) -> None:
    if not leads():
        return
    if machine:
        write(json.dumps(answer.data, indent=2, allow_nan=False) + "\n")
    elif isinstance(answer.view, str):
        write(answer.view)
    elif answer.view is not None:
        out().print(answer.view)


def leads() -> bool:
    """Whether this is the process that speaks, of those that were launched together."""
    return os.environ.get("RANK", "0") == "0"


def write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def out() -> Console:
    """Standard output; wide where it isn't a terminal, so that no line breaks for want of room."""
    console = Console(highlight=False)
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(highlight=False, width=WIDE)


def say(line: str | Text, *, all_of_us: bool = False) -> None:
    """One line on standard error, from the process that speaks; markup counts in a plain string."""
    if leads() or all_of_us:
        Console(stderr=True, highlight=False).print(line, soft_wrap=True)


@contextlib.contextmanager
def bars() -> Iterator[Bars]:
    """Progress on standard error, from the process that speaks."""
    from understudy.report.progress import bars

    with bars(quiet=not leads()) as bar:
        yield bar


@contextlib.contextmanager
def waiting(what: str) -> Iterator[None]:
    """A spinner on a terminal's standard error."""
    console = Console(stderr=True)
    with console.status(f"[dim]{what}") if console.is_terminal and leads() else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Ctrl-C says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(f"stopped; go on with: understudy resume {folder}") from None


# what can be completed ------------------------------------------------------------------------------------------------------------


def complete_methods(incomplete: str) -> list[str]:
    """The last of what may be a comma-separated list."""
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in registry.files() if name.startswith(last.replace("_", "-"))]


def complete_runs(incomplete: str) -> list[str]:
    folder = Path(incomplete or "runs/")
    parent = folder if incomplete.endswith("/") or not incomplete else folder.parent
    found = sorted(str(p.parent) for p in parent.glob("*/config.json"))
    return [f for f in found if f.startswith(incomplete)] or ["runs/"] * Path("runs").is_dir()


def complete_families(incomplete: str) -> list[str]:
    return [f for f in dict.fromkeys(p.parent.name for p in registry.files().values()) if f.startswith(incomplete)]


def entry(name: str) -> registry.Entry:
    """A method's entry by name, without importing it. Raises `Refused` with the nearest names."""
    from understudy.core.errors import nearest

    found = registry.entries().get(name.replace("_", "-"))
    if found is None:
        raise refuse("method", name, f"a registered method{nearest(name, registry.files())}", "see `understudy list`")
    return found


# making a command of a function -----------------------------------------------------------------------------------------------------

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else there.", rich_help_panel="Output")]
Trace = Annotated[bool, typer.Option("--traceback", hidden=True)]


def command(
    app: typer.Typer,
    f: Callable[..., Answer],
    name: str | None = None,
    *,
    panel: str,
    examples: Sequence[str],
    leave: Sequence[str] = (),
) -> None:
    """Register a function; a parameter `config` becomes the options of `settings.configuration` but those to leave out, and every
    command takes --json and --traceback, which `Main` reads."""
    own = dict(inspect.signature(f, eval_str=True).parameters)
    options = {
        k: p for k, p in inspect.signature(settings.configuration, eval_str=True).parameters.items() if k not in (*leave, *own)
    }
    takes = own.pop("config", None) is not None
    common = [
        inspect.Parameter(k, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=a)
        for k, a in (("json", Json), ("traceback", Trace))
    ]

    @functools.wraps(f)
    def run(**given: Any) -> Answer:
        given = {k: v for k, v in given.items() if k not in ("json", "traceback")}
        if takes:
            chosen = {k: given.pop(k) for k in options}
            given["config"] = settings.configuration(**chosen)
        return f(**given)

    parts = [
        p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*(options.values() if takes else ()), *own.values(), *common)
    ]
    run.__signature__ = inspect.Signature(parts)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parts}
    del run.__wrapped__
    shown = "\n".join(f"  [cyan]{line}[/]" for line in examples)
    app.command(name or f.__name__, help=f"{inspect.getdoc(f)}\n\n\b\n[dim]For instance[/]\n{shown}", rich_help_panel=panel)(run)
