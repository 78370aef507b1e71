"""An ONNX file in eight-bit integers."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from understudy.core.errors import refuse
from understudy.core.files import write_atomically

Rows = npt.NDArray[Any]
CALIBRATION = 256  # rows that set the ranges of activations
DYNAMIC = [
    "MatMul",
    "Gemm",
    "LSTM",
    "Gather",
    "Attention",
    "EmbedLayerNormalization",
]  # what is as fast where ranges are measured on the way


def export_int8(
    onnx_path: str | os.PathLike[str], out_path: str | os.PathLike[str], calibration: Rows | dict[str, Rows] | None = None
) -> str:
    """Quantise a file of `export_onnx`, which stays as it is; -> 'static' or 'dynamic'.

    calibration: rows of the training data [N, ...] (or a dict of such), of which the first 256 are used. Where they are given and
    convolutions hold most of the weights, it is quantised statically: weights and activations become integers, the rows set the
    activations' ranges. Others dynamically: the weights of matrix products and recurrent layers become integers, activations are
    measured as they come, convolutions stay as they are (so quantised, they would be many times slower).
    What it costs in accuracy has to be measured: see `export.ship`. Raises `Refused` where the file or the rows can't be used.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if not Path(onnx_path).is_file():
        raise refuse("onnx_path", str(onnx_path), "an ONNX file", "write one with export_onnx")
    graph = onnx.load(onnx_path).graph
    rows = calibration if isinstance(calibration, dict) else {} if calibration is None else {graph.input[0].name: calibration}
    if rows and not all(len(v) for v in rows.values()):
        raise refuse("calibration", 0, "at least 1 row")
    static = bool(rows) and _convolves(graph)

    class One(CalibrationDataReader):  # type: ignore[misc]
        """One row at a time."""

        at = iter(range(min(CALIBRATION, *(len(v) for v in rows.values())) if rows else 0))

        def get_next(self) -> dict[str, Rows] | None:
            i = next(self.at, None)
            return None if i is None else {k: v[i : i + 1] for k, v in rows.items()}

    with tempfile.TemporaryDirectory() as folder, _quiet():
        ready, made = Path(folder) / "ready.onnx", Path(folder) / "int8.onnx"
        quant_pre_process(str(onnx_path), str(ready), skip_symbolic_shape=True)
        model = onnx.load(ready)
        del model.graph.value_info[:]  # the quantiser turns weights around and then stumbles over their noted shapes
        if static:
            quantize_static(model, str(made), One(), weight_type=QuantType.QInt8, per_channel=True)
        else:
            quantize_dynamic(model, str(made), weight_type=QuantType.QInt8, op_types_to_quantize=DYNAMIC)
        data = made.read_bytes()
    write_atomically(out_path, data)
    return "static" if static else "dynamic"


def _convolves(graph: Any) -> bool:
    """Whether convolutions hold most of the weights."""
    sizes = {t.name: int(np.prod(t.dims)) for t in graph.initializer}
    held = sum(sizes.get(name, 0) for node in graph.node if node.op_type == "Conv" for name in node.input)
    return 2 * held > sum(sizes.values())


def answers(path: str | os.PathLike[str], rows: dict[str, Rows], size: int = 256) -> Rows:
    """What ONNX Runtime says of all rows, chunk by chunk; -> [N, ...]."""
    from understudy.export.onnx import session_of

    session, n = session_of(str(path)), len(next(iter(rows.values())))
    return np.concatenate([session.run(None, {k: v[i : i + size] for k, v in rows.items()})[0] for i in range(0, n, size)])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser speaks to the root logger of types that it left alone: nothing a user can mend."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
