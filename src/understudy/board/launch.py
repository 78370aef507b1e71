"""Runs as processes: the command line of one, starting it, knowing it again, stopping it."""

from __future__ import annotations

import os
import platform
import re
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from pydantic import BaseModel, ConfigDict, Field, field_validator

from understudy import alive
from understudy.board.reading import number
from understudy.core.errors import refuse

PROGRAM = (sys.executable, "-P", "-m", "understudy")  # -P: nothing is imported from the working folder
LOGS = ".board"  # below the runs' folder: what those said that were started here
NAME = re.compile(r"\w[\w.-]{0,99}")
SAID = 20_000  # bytes of its output that are shown
SLACK = 2.0  # seconds that two clocks of one machine may be apart


class Wish(BaseModel):
    """The form: what `understudy distill` is to be asked for. What is left out is as the command has it."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, str_max_length=1000)

    teacher: str = ""
    student: str = ""
    method: str = ""
    data: str = ""
    target: str = ""
    text: str = ""
    task: str = ""
    signal: str = ""
    length: int | None = None
    epochs: int | None = None
    batch: int | None = None
    lr: float | None = None
    seed: int | None = None
    limit: int | None = None
    alone: bool | None = None
    sets: list[str] = Field(default_factory=list, max_length=100)
    name: str = ""

    @field_validator("*")
    @classmethod
    def _printable(cls, value: Any) -> Any:
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and not text.isprintable():
                raise ValueError("a line of text without control characters")
        return value


def words(wish: Wish, folder: Path, name: str) -> list[str]:
    """The command's arguments; each value is one word with its option, so that none can be read as another option."""
    plain = wish.model_dump(exclude={"alone", "sets", "name"})
    asked = [f"--{k}={v}" for k, v in plain.items() if v not in (None, "")]
    asked += [] if wish.alone is None else ["--alone" if wish.alone else "--no-alone"]
    return ["distill", *asked, *(f"--set={s}" for s in wish.sets if s), f"--folder={folder}", f"--run-id={name}"]


def spelled(arguments: Sequence[str]) -> str:
    """What to type instead."""
    return shlex.join(["understudy", *arguments])


def named(wish: Wish) -> str:
    """The run's name: the one that was asked for, or the time and the method. Raises `Refused` where it's no name for a folder."""
    if wish.name and not NAME.fullmatch(wish.name):
        raise refuse("name", wish.name, "letters, digits, '.', '_' and '-', beginning with a letter or a digit, at most 100")
    method = re.sub(r"[^\w-]", "", wish.method) or "kd"
    return wish.name or f"{time.strftime('%Y-%m-%d-%H%M%S')}-{method}-{secrets.token_hex(4)}"


@dataclass
class Launch:
    """A process that was started here. asked: of the run, as far as the form tells (see `reading.asked`)."""

    id: str
    process: subprocess.Popen[bytes]
    log: Path
    asked: dict[str, Any]
    begun: float = field(default_factory=time.time)
    told: bool = False  # to stop
    arrived: bool = False  # its run has a folder

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def last_words(self) -> str:
        """Why it ended before its time: the last line that it said."""
        lines = [line.strip() for line in tail(self.log).splitlines() if line.strip()]
        return lines[-1].lstrip("✘■ ") if lines else f"it ended with exit code {self.process.returncode}"


def launch(folder: Path, name: str, arguments: Sequence[str], asked: dict[str, Any], program: Sequence[str] = PROGRAM) -> Launch:
    """Start it in a session of its own, so that it outlives the page; its output goes to a file."""
    log = folder / LOGS / f"{name.replace('/', '+')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.parent.is_symlink():
        raise refuse("folder", str(log.parent), "a folder, and no link to one", "remove the link")
    log.unlink(missing_ok=True)  # it may be a link to another file
    with log.open("xb") as out:
        process = subprocess.Popen(
            [*program, *arguments], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    return Launch(name, process, log, asked)


def tail(path: Path) -> str:
    """The end of a text file; nothing where there is none."""
    try:
        with path.open("rb") as f:
            f.seek(max(0, f.seek(0, os.SEEK_END) - SAID))
            return f.read().decode(errors="replace")
    except OSError:
        return ""


def process(said: dict[str, Any]) -> psutil.Process | None:
    """The process that wrote a state.json, or None where it is gone or elsewhere. It had its number when it wrote: whoever has that
    number and was born at another time (later, by the clock, where the file doesn't tell when) is somebody else."""
    pid, since, born = said.get("pid"), number(said.get("since")), number(said.get("born"))
    if said.get("host") != platform.node() or not isinstance(pid, int) or isinstance(pid, bool) or pid < 2 or since is None:
        return None
    try:
        found = psutil.Process(pid)
        same = found.create_time() <= since + SLACK if born is None else alive.born(pid) == born
        return found if same and found.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.Error, OverflowError, ValueError):
        return None


def holds(process: psutil.Process, path: Path) -> bool:
    """Whether a process of ours has the file open, as a run has its config.json."""
    try:
        return any(f.path == str(path.resolve()) for f in process.open_files())
    except (psutil.Error, OSError):
        return False


def interrupt(process: psutil.Process | subprocess.Popen[bytes]) -> None:
    """Ctrl-C from afar. Raises `Refused` where that can't be done."""
    if os.name != "posix":
        raise refuse("stop", os.name, "a system with signals", "press Ctrl-C where the run was started")
    try:
        process.send_signal(signal.SIGINT)
    except (psutil.Error, OSError) as e:
        raise refuse("stop", process.pid, f"a process of yours that is still there ({type(e).__name__})") from None
