"""The serving example: its answers are the file's own, also of many requests at once, and what it can't take is told in a 422."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from understudy.export.onnx import export_onnx

for library in ("fastapi", "uvicorn", "httpx"):
    pytest.importorskip(library)


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "examples" / "serving")
    yield importlib.import_module("load_test")
    for name in ("serve", "load_test"):
        sys.modules.pop(name, None)


@pytest.fixture
def student(tmp_path: Path) -> str:
    export_onnx(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), torch.rand(4, 3, 4), tmp_path / "student.onnx")
    return str(tmp_path / "student.onnx")


def test_many_at_once_get_the_files_own_answers(example: Any, student: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = example.load(student, 60, 12)
    assert (found["requests"], found["wrong"]) == (60, 0)
    assert 0 < found["median_ms"] <= found["p99_ms"]
    honest = example.ask

    async def mixed_up(*args: Any) -> Any:
        outs, seconds, whole = await honest(*args)
        return [outs[1], outs[0], *outs[2:]], seconds, whole

    monkeypatch.setattr(example, "ask", mixed_up)
    assert example.load(student, 10, 5)["wrong"] == 2


def test_what_it_cannot_take_is_told(example: Any, student: str) -> None:
    import httpx

    row = np.zeros((3, 4)).tolist()
    with example.running(student) as url, httpx.Client(base_url=url, trust_env=False) as client:
        assert np.shape(client.post("/predict", json={"x": [row] * 5}).json()["out"]) == (5, 3)
        for wrong, said in (
            ({}, "x: 1 to 256 rows of (3, 4) floats, not (0,)"),
            ({"x": []}, "not (0,)"),
            ({"x": [[1.0, 2.0]]}, "rows of (3, 4) floats, not (1, 2)"),
            ({"x": [row, row[:2]]}, "rows of one shape, (3, 4)"),
            ({"x": [[["a"] * 4] * 3]}, "floats, not (1, 3, 4) of <U1"),
            ({"x": [[[None] * 4] * 3]}, "of object"),
            ({"x": [row] * 257}, "1 to 256 rows"),
            ({"x": [row], "z": [1]}, "unknown: z; known: x"),
        ):
            reply = client.post("/predict", json=wrong)
            assert reply.status_code == 422, wrong
            assert said in reply.json()["detail"]
        for content in (b"[1]", b"no json", b'{"x": 3}'):
            assert client.post("/predict", content=content).status_code == 422


def test_nobody_is_told_that_a_file_is_run() -> None:
    """ONNX Runtime asks this variable, when it is loaded, whether it may speak to its makers."""
    asked = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    for first in (
        "import understudy",
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2] / 'examples' / 'serving')!r}); import load_test",
    ):
        said = subprocess.run([sys.executable, "-c", f"{first}; import os; print(os.environ['ORT_DISABLE_TELEMETRY'])"], env=asked, text=True,
                              capture_output=True, check=True)  # fmt: skip
        assert said.stdout == "1\n"
