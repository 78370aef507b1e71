"""Nothing piles up: benchmarks/soak.py, short. Counts and bits, no seconds; resident memory only within wide bounds."""

from __future__ import annotations

import gc
import importlib.util
import linecache
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.fx.graph_module import _loader

from understudy.export.onnx import export_onnx
from understudy.export.program import export_program

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "soak.py"
MB = 60  # a network and a report are a tenth of that; what leaks each time is more after twenty times, or isn't seen here


@pytest.fixture(scope="module")
def soak():
    spec = importlib.util.spec_from_file_location("soak", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def settled(told):
    """The readings of the second half: tensors, files and threads don't grow, memory hardly does."""
    half = told["readings"][len(told["readings"]) // 2 :]
    (_, mb, *first), (_, more, *last) = half[0], half[-1]
    assert all(b <= a for a, b in zip(first, last, strict=True)), half
    assert more - mb < MB, half


@pytest.mark.filterwarnings("ignore")  # the doctor's, about 96 rows
def test_twenty_runs_leave_nothing(soak):
    told = soak.runs(20, 2, lambda *_: None)
    settled(told)
    assert set(told["students"].values()) == {1}  # each kind twice, the same bytes
    assert len(told["students"]) == 13 and sum(k.endswith(".onnx") for k in told["students"]) == 3


def test_two_thousand_steps_leave_nothing(soak):
    told = soak.steps(2000, 200, lambda *_: None, again=200, small=True)
    settled(told)
    assert told["same_bits"] == {"resumed_from_the_middle": True, "first_200_steps_once_more": True}


@pytest.mark.parametrize("write", [export_onnx, export_program], ids=["onnx", "pt2"])
def test_a_trace_is_let_go(tmp_path, write):
    """PyTorch's own caches of a trace, which would keep a stand-in for every input and the source of all code that it made, for good."""
    net, x = nn.Sequential(nn.Linear(4, 3), nn.ReLU()), torch.randn(8, 4)

    def held():
        write(net, x, tmp_path / "a")
        gc.collect()
        return sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects()), len(linecache.cache), len(_loader.eval_cache)

    held(), held()
    assert held() == held() == held()


def test_a_leak_would_be_seen(soak):
    """The reading counts a tensor and a file that somebody forgot, and the slope is that of a line."""
    before = soak.reading()
    forgotten = [torch.zeros(3), SCRIPT.open()]
    after = soak.reading()
    forgotten[1].close()
    assert (after["tensors"] - before["tensors"], after["files"] - before["files"]) == (1, 1)
    at = list(range(1, 101))
    assert soak.slope(at, [5 + 0.25 * a for a in at]) == pytest.approx((0.25, 0.0), abs=1e-9)
    b, half = soak.slope(at, [(-1.0) ** a for a in at])
    assert abs(b) <= half + 1e-9
