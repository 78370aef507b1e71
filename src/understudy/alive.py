"""What a run says of itself while it lives, in `state.json`: which process it is, what it does, how it ended. And how it is stopped."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from understudy.core.errors import Refused
from understudy.core.files import write_atomically

FILE = "state.json"
HELD = "config.json"


def born(pid: int) -> int | None:
    """When a process of this machine was born, in ticks since the machine was: no clock that is set or jumps changes it. None where there
    is no such process, or no telling."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text()
        return int(told.rpartition(")")[2].split()[19])  # behind its name, which may hold anything
    except (OSError, ValueError, IndexError):
        return None


@contextlib.contextmanager
def known(folder: Path, *, quiet: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """Inside, the folder's state.json names this process; after, it says how it ended: finished, stopped, or failed and why.

    Yields `phase(name, step, steps)`, to be called as each phase begins. A process that dies without a word leaves `running` behind:
    whoever reads it asks whether that process is still there, and knows it by the config.json that it holds open. quiet: nothing is
    written.
    """
    said: dict[str, Any] = {"state": "running", "pid": os.getpid(), "born": born(os.getpid()), "host": platform.node(),
                            "since": time.time(), "error": ""}  # fmt: skip

    def write(**more: Any) -> None:
        said.update(more)
        if not quiet:
            write_atomically(folder / FILE, json.dumps(said, indent=1) + "\n")

    write()
    try:
        with contextlib.nullcontext() if quiet else open(folder / HELD, "rb"):
            yield lambda phase, step, steps: write(phase=phase, first=step, steps=steps, at=time.time())
    except BaseException as e:
        stopped = isinstance(e, KeyboardInterrupt)
        with contextlib.suppress(OSError):  # what went wrong is told, not that it couldn't be written down
            write(state="stopped" if stopped else "failed", error="" if stopped else " ".join(str(e).split()) or type(e).__name__)
        raise
    write(state="finished")


@contextlib.contextmanager
def together(ranks: int) -> Iterator[None]:
    """Inside, whoever waited for another of the processes that share a run, and sees that it is gone, says so in one line: `Refused`.
    One that died is noticed at once, one whose machine fell silent after the time that torch.distributed waits."""
    try:
        yield
    except RuntimeError as e:
        if ranks == 1 or not (type(e).__name__.startswith("Dist") or "onnection" in str(e)):
            raise
        raise Refused(f"another of the {ranks} processes of this run is gone ({str(e).splitlines()[0]}); start all of them again, with "
                      "`understudy resume` and the run's folder") from e  # fmt: skip


@contextlib.contextmanager
def heeding(able: bool = True) -> Iterator[Callable[[], bool]]:
    """Inside, a first Ctrl-C (SIGINT) interrupts nothing: the function that is yielded tells of it, so that who trains can save and
    then stop. A second one interrupts at once. Outside the main thread, or where not able, signals do what they did."""
    if not able or threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked = False

    def note(*_: Any) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        os.write(2, b"\nstopping after this step, with a checkpoint; once more stops at once\n")

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before or signal.default_int_handler)
