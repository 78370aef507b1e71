"""Processes that are born fast: one imports everything once and forks a child for each call, which may be killed.

    python forked.py     (calls come in as JSON, a line each, and what became of the child goes out)

A call: {"of": "module:function", "with": [...], "env": {...}, "out": path of its output, "after": seconds until SIGKILL, or null}.
The answer: {"code": exit code, negative for a signal, "seconds": ...}; "wait": false answers {"pid": ...} at once, {"pid": ...} waits.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

HEAVY = ("accelerate", "sklearn.datasets", "scipy.stats", "torch._dynamo", "torch.distributed.fsdp", "understudy.cli", "understudy.models",
         "understudy.report.costs", "understudy.report.html", "understudy.report.card")  # fmt: skip


class Nursery:
    """The parent's side."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def _ask(self, **what: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(what), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def call(
        self, of: str, *given: Any, out: Path, after: float | None = None, env: dict[str, str] | None = None
    ) -> tuple[int, float]:
        """Exit code and seconds of a child that did this, or was killed after a while."""
        done = self._ask(**{"of": of, "with": given, "out": str(out), "after": after, "env": env or {}})
        return done["code"], done["seconds"]

    def start(self, of: str, *given: Any, out: Path, env: dict[str, str] | None = None) -> int:
        """The number of a child that is left running."""
        return self._ask(**{"of": of, "with": given, "out": str(out), "after": None, "env": env or {}, "wait": False})["pid"]

    def wait(self, pid: int, seconds: float) -> int:
        """Exit code of a child that was started; it is killed, and None, where it isn't over by then."""
        return self._ask(pid=pid, after=seconds)["code"]

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def born(call: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        with open(call["out"], "a") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        os.environ.update(call["env"])
        module, _, function = call["of"].partition(":")
        code = int(getattr(importlib.import_module(module), function)(*call["with"]) or 0)
    except SystemExit as e:
        code = int(e.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def ended(pid: int, after: float | None) -> dict[str, Any]:
    begun = time.monotonic()
    over, status = (0, 0) if after is not None else os.waitpid(pid, 0)
    while not over and time.monotonic() - begun < (after or 0):
        over, status = os.waitpid(pid, os.WNOHANG)
        time.sleep(0.001)
    if not over:
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    return {"code": os.waitstatus_to_exitcode(status), "seconds": time.monotonic() - begun}


def main() -> None:
    import torch

    torch.set_num_threads(1)
    sys.path.insert(0, str(Path(__file__).parents[1]))
    for name in (*HEAVY, "integration.doomed"):
        importlib.import_module(name)
    for line in sys.stdin:
        call = json.loads(line)
        pid = call["pid"] if "pid" in call else born(call)
        print(json.dumps({"pid": pid} if not call.get("wait", True) else ended(pid, call["after"])), flush=True)


if __name__ == "__main__":
    main()
