"""What an answer costs: milliseconds at batch 1 and 64 in PyTorch and ONNX Runtime, and floating-point operations."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from understudy.core.batch import each
from understudy.export.onnx import session_of, some
from understudy.report.findings import Timing

BATCHES = (1, 64)
CALLS, WARM, SECONDS = 50, 5, 0.5  # calls that count, calls before them, and what all calls of one network may take
LONGEST = 2000.0  # milliseconds that a batch may be expected to take, or it isn't tried

Call = Callable[[], object]


def timings(
    nets: Mapping[str, nn.Module], rows: Mapping[str, Any], files: Mapping[str, Path] | None = None
) -> dict[str, tuple[Timing, ...]]:
    """How long networks take, in evaluation mode where they live; in turns, so that a busy machine is busy for all of them.

    nets: by name; rows: what each sees, [N, ...]; files: ONNX files by the name of the network they hold, run by ONNX Runtime on as
    many threads as PyTorch has. Each gets 5 calls to warm up, then up to 50 within half a second, one at least; a batch that would take over 2 s isn't tried.
    """  # fmt: skip
    made: dict[str, list[Timing]] = {name: [] for name in nets}
    modes = [(m, m.training) for net in nets.values() for m in net.modules()]
    for net in nets.values():
        net.eval()
    try:
        for batch in BATCHES:
            calls: dict[tuple[str, str], Call] = {}
            for name, net in nets.items():
                runtimes = {"PyTorch": _torch(net, some(rows[name], batch))}
                if files and name in files:
                    runtimes["ONNX Runtime"] = _onnx(files[name], some(rows[name], batch))
                for runtime, call in runtimes.items():
                    one = next((t.median for t in made[name] if t.runtime == runtime), 0.0)
                    if one * batch <= LONGEST:
                        calls[name, runtime] = call
            for (name, runtime), times in in_turns(calls).items():
                quarters = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else times * 3
                made[name].append(Timing(runtime, batch, quarters[1], quarters[0], quarters[2], len(times)))
    finally:
        for m, training in modes:
            m.training = training
    return {name: tuple(t) for name, t in made.items()}


@torch.no_grad()
def in_turns(calls: Mapping[Any, Call]) -> dict[Any, list[float]]:
    """Milliseconds of each call, one after the other and from the start again."""
    spent, times = dict.fromkeys(calls, 0.0), {name: list[float]() for name in calls}
    for turn in range(WARM + CALLS):
        for name, call in calls.items():
            if spent[name] < SECONDS or not times[name]:
                begun = time.perf_counter()
                call()
                seconds = time.perf_counter() - begun
                spent[name] += seconds
                if turn >= WARM or (turn and spent[name] >= SECONDS):  # the first never counts
                    times[name].append(1000 * seconds)
    return times


def flops(call: Call) -> int | None:
    """Floating-point operations of a call's matrix products, convolutions and attentions, two for a multiplication and addition; what
    costs little beside them isn't counted. None where none of those is seen, or the network can't be looked into."""
    try:
        with warnings.catch_warnings(), FlopCounterMode(display=False) as counter, torch.no_grad():
            warnings.simplefilter("ignore")
            with torch.backends.mkldnn.flags(enabled=False):  # it hides a recurrent layer's products
                call()
    except Exception:  # a report doesn't fail for want of a figure
        return None
    return counter.get_total_flops() or None


def _torch(net: nn.Module, x: Any) -> Call:
    device = next((t.device for t in [*net.parameters(), *net.buffers()]), torch.device("cpu"))
    x = each(x, lambda t: t.to(device))

    def call() -> None:
        net(x)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return call


def _onnx(path: Path, x: Tensor | dict[str, Tensor]) -> Call:
    session = session_of(str(path))
    given = {k: v.numpy() for k, v in ({"x": x} if isinstance(x, Tensor) else x).items()}
    return lambda: session.run(None, given)
