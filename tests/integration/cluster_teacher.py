"""A teacher that a cluster's workers load by its address, in test_cluster: it notes who asks it, and one of them is killed as it writes.

With UNDERSTUDY_TEST_NOTES, a folder: a line `process rows` in its file `asked` for each forward. Where there is a file `die`, the first process that has been
asked about two shards takes it away, and SIGKILLs itself when the second one is to get its name; its number is left in `died`.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import torch
from torch import Tensor, nn

BATCHES = 4  # of a whole shard


class Noted(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.inner, self.out = nn.Linear(64, 8), nn.Linear(8, classes)
        self.asked = 0
        with torch.no_grad():
            for i, p in enumerate(self.parameters()):
                p.copy_(torch.linspace(-1, 1, p.numel()).mul(7 + i).sin().reshape(p.shape))

    def forward(self, x: Tensor) -> Tensor:
        if "UNDERSTUDY_TEST_NOTES" in os.environ:
            note(Path(os.environ["UNDERSTUDY_TEST_NOTES"]), len(x))
            self.asked += len(x) > 1
            if self.asked == 2 * BATCHES:
                die(Path(os.environ["UNDERSTUDY_TEST_NOTES"]))
        return self.out(self.inner(x.flatten(1)).relu())


def note(notes: Path, rows: int) -> None:
    with (notes / "asked").open("a") as f:
        f.write(f"{os.getpid()} {rows}\n")


def die(notes: Path) -> None:
    """With the next file that is about to get its name."""
    try:
        (notes / "die").rename(notes / "died")
    except FileNotFoundError:
        return
    (notes / "died").write_text(str(os.getpid()))
    os.replace = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]


def make(classes: int) -> nn.Module:
    return Noted(classes)


def silly(classes: int) -> nn.Module:
    """Says what is no number."""
    net = Noted(classes)
    nn.init.constant_(net.out.bias, torch.nan)
    return net


def fatal(classes: int) -> nn.Module:
    """Loads nowhere but where UNDERSTUDY_TEST_NOTES isn't."""
    if "UNDERSTUDY_TEST_NOTES" in os.environ:
        os.kill(os.getpid(), signal.SIGKILL)
    return Noted(classes)
