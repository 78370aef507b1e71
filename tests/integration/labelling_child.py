"""Labels a folder and is killed at many points, each in a child of its own; run by test_store."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from understudy.core import files
from understudy.teachers import Encoding, label

torch.set_num_threads(1)


class Line(nn.Module):
    def __init__(self, slow: float = 0.0) -> None:
        super().__init__()
        self.inner, self.slow = nn.Linear(3, 4), slow
        nn.init.constant_(self.inner.weight, 0.5)
        nn.init.constant_(self.inner.bias, 0.25)

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(self.slow)
        return self.inner(x)


def labelled(folder: Path, slow: float = 0.0) -> None:
    label(Line(slow), [torch.arange(120.0).reshape(40, 3)], folder, Encoding("float32"), shard=4)


def die(folder: Path, point: int) -> int:
    """How a child ended that was to be killed: at the point-th rename or flush to disk, or after so many hundredths of a second."""
    pid = os.fork()
    if not pid:
        if point % 2:
            left = [1 + point // 2]
            name = "replace" if point % 4 == 1 else "fsync"
            real = getattr(os, name)

            def last(*args: object) -> object:
                left[0] -= 1
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args)

            setattr(files.os, name, last)
        else:
            signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
            signal.setitimer(signal.ITIMER_REAL, 0.004 + 0.004 * point)
        labelled(folder, 0.02)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    root = Path(sys.argv[1])
    if sys.argv[2:] == ["once"]:
        labelled(root / "once", 0.005)
        sys.exit()
    labelled(root / "whole")
    killed = []
    for i in range(15):
        killed.append(die(root / f"cut-{i}", i))
        labelled(root / f"cut-{i}")
    print(json.dumps({"killed": killed}))
