"""One target under changes, in a process of its own: what it may not do ends here, and is written down."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

from understudy.core.errors import Refused

SECONDS = 5  # of the processor, of one read
MEMORY = 2**30  # bytes that a read may take


class Hang(BaseException):
    """A read took too long."""


def lay(files: dict[str, bytes], folder: Path) -> None:
    """An input as files."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def tried(target: Any, files: dict[str, bytes], folder: Path) -> str:
    """What a target did with an input that it may not do: '' where nothing is wrong."""
    lay(files, folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.read(folder)
    except Refused as e:
        if "\n" in str(e):
            return f"a message of several lines: {str(e)[:200]}"
    except target.may:
        pass
    except Hang:
        return f"a read of more than {SECONDS} seconds"
    except Exception as e:
        where = traceback.extract_tb(e.__traceback__)
        ours = next((f for f in reversed(where) if "understudy" in f.filename), where[-1])
        return f"{type(e).__name__}: {' '.join(str(e).split())[:200]} ({Path(ours.filename).name}:{ours.lineno}, in {ours.name})"
    left = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - set(files)
    left = {name for name in left if not name.endswith(".jsonl")}  # ledgers
    return f"it wrote {sorted(left)[0]}" if left else ""


def inputs(target: Any, seed: int, corpus: list[dict[str, bytes]] = []) -> Any:  # noqa: B006 (never changed)
    """Inputs without end, the same for the same seed: the good ones, those that went wrong before, and changes of both."""
    from fuzz.mutate import mutated

    dice = random.Random(seed)
    good = target.seeds()
    yield from good
    yield from corpus
    known = [*good, *corpus]
    while True:
        files = dict(dice.choice(known))
        name = dice.choice([n for n in files if n not in target.fixed])
        others = [f[n] for f in known for n in f if f[n]]
        files[name] = mutated(files[name], dice, others)
        if target.again is not None and dice.random() < 0.5:
            files[name] = target.again(name, files[name])
        yield files


def alarmed(*_: Any) -> None:
    raise Hang


def limited() -> None:
    """From here on: no read of more than five seconds, no gigabyte more than there is now, no writing elsewhere."""
    signal.signal(signal.SIGPROF, alarmed)
    now = next(
        int(line.split()[1]) * 1024 for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmSize")
    )
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, now + MEMORY))


def watched(allowed: tuple[str, ...], found: list[str]) -> None:
    """Notes every file that is opened to be written outside of these folders."""

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if (
            event == "open"
            and isinstance(args[0], (str, bytes))
            and isinstance(args[2], int)
            and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        ):
            name = os.path.realpath(os.fsdecode(args[0]) if "\0" not in os.fsdecode(args[0]) else "nul")
            if not name.startswith((*allowed, "/dev/", "/proc/")):
                found.append(name)

    sys.addaudithook(hook)


def work(name: str, seed: int, seconds: float, room: Path, corpus: list[dict[str, bytes]]) -> dict[str, Any]:
    """A target for so many seconds; `room` is a folder of its own, where the input under way can be found if this process dies."""
    from fuzz.targets import TARGETS

    target, outside, crashes = TARGETS[name], list[str](), dict[str, dict[str, bytes]]()
    made = inputs(target, seed, corpus)
    for good in target.seeds():  # imports, and whatever is held from here on
        tried(target, good, room / "in")
    limited()
    watched((str(room), os.environ["HF_HOME"]), outside)
    until, times, taken = time.monotonic() + seconds, 0, 0.0
    while time.monotonic() < until:
        files = next(made)
        begun = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            wrong = tried(target, files, room / "in")
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        taken, times = max(taken, time.process_time() - begun), times + 1
        if outside:
            wrong = f"it opened {outside[0]} to write"
            outside.clear()
        if wrong:
            crashes.setdefault(wrong, files)
        (room / "alive").touch()
    return {"executions": times, "slowest": round(taken, 2), "crashes": crashes}
