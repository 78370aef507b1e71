"""A network as one ONNX file, which is written only if ONNX Runtime gives the network's own answers."""

from __future__ import annotations

import contextlib
import copy
import io
import linecache
import logging
import math
import os
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from understudy.core.batch import each, rows_in
from understudy.core.errors import Refused, refuse
from understudy.core.files import write_atomically

TOLERANCE = 1e-4  # of the largest absolute output
SIZES = (1, 3, 64)  # batches that a file must give the network's answers for
LIMIT = 2**31 - 1  # bytes: a protocol buffer holds no more


def export_onnx(net: nn.Module, example: Tensor | dict[str, Tensor], path: str | os.PathLike[str]) -> float:
    """Write the network in evaluation mode, with its forward hooks, and return the largest absolute difference found.

    example: rows as the network is called with them, [N, ...] or a dict of such; give real ones. The file has a dynamic batch
    dimension, the input `x` (or one for each name of the dict), the output `out`, no external data and no word of the code it
    was traced from, and was run by ONNX Runtime on these rows, 1, 3 and 64 at a time. Raises `Refused`, and writes nothing, where
    the network can't be traced, gives anything but one tensor, differs by more than 1e-4 of its largest output, or passes 2 GB.
    """
    rows = {"x": example} if isinstance(example, Tensor) else example
    inputs = {k: v.detach().cpu() for k, v in rows.items()}
    plain = _Plain(copy.deepcopy(net).cpu().eval(), None if isinstance(example, Tensor) else tuple(inputs))
    try:
        graph = _graph(plain, inputs)
    except Refused:
        raise
    except Exception as e:
        raise untraceable(net, e) from e
    difference, scale = compare(plain, inputs, graph)
    if not difference <= TOLERANCE * scale:  # so that NaN is refused too
        mend = "ONNX Runtime computes something else: look for branches on the batch size, or chance in evaluation mode"
        raise refuse("onnx.difference", difference, f"at most {TOLERANCE:g} of the largest output, {scale:.3g}", mend)
    write_atomically(path, graph)
    return difference


def untraceable(net: nn.Module, e: Exception) -> Refused:
    """Why a network can't become a file, in one line."""
    cause = str(e.__cause__ or e).strip().splitlines()
    why = cause[0] if cause else type(e).__name__
    mend = "take Python branches on values out of its forward, or save its weights alone"
    return refuse("net", type(net).__name__, f"a network that torch.export can trace ({why})", mend)


def some(rows: Any, n: int) -> Any:
    """n rows, from the start again where there are fewer."""
    which = torch.arange(n) % rows_in(rows)
    return each(rows, lambda t: t[which])


@torch.no_grad()
def compare(net: nn.Module, inputs: dict[str, Tensor], graph: bytes) -> tuple[float, float]:
    """The largest absolute difference between network and graph on these rows, 1, 3 and 64 at a time, and the largest output."""
    session = session_of(graph)
    difference = scale = 0.0
    for n in SIZES:
        part = some(inputs, n)
        try:
            wanted = net(*part.values()).float().numpy()
            (got,) = session.run(None, {k: v.numpy() for k, v in part.items()})
        except Exception as e:
            raise refuse("net", n, f"a network and a graph that take {n} rows ({str(e).strip().splitlines()[0]})",
                         "keep the batch size out of its shapes") from e  # fmt: skip
        if got.shape != wanted.shape:
            raise refuse("onnx.shape", got.shape, f"the network's own, {wanted.shape}", "keep the batch size out of its shapes")
        difference = max(difference, float(np.abs(got - wanted).max()), key=lambda d: math.inf if math.isnan(d) else d)
        scale = max(scale, float(np.abs(wanted).max()))
    return difference, scale


class _Plain(nn.Module):
    """The network with positional tensors: the exporter takes a dict for keyword arguments."""

    def __init__(self, net: nn.Module, names: tuple[str, ...] | None) -> None:
        super().__init__()
        self.net, self.names = net, names
        self.eval()

    def forward(self, *values: Tensor) -> Tensor:
        out = self.net(dict(zip(self.names, values, strict=True)) if self.names else values[0])
        if not isinstance(out, Tensor):
            raise refuse("net.output", type(out).__name__, "one tensor", "wrap the network so that it returns its logits")
        return out


def _graph(net: nn.Module, inputs: dict[str, Tensor]) -> bytes:
    with torch.no_grad():
        net(*inputs.values())  # an error of the network's own is plainer than the exporter's account of it
    two = {k: torch.cat([v, v]) if len(v) == 1 else v for k, v in inputs.items()}  # one row would fix the batch size to one
    axes = (tuple({0: "batch"} for _ in two),)  # by word: with a `Dim` the exporter keeps a batch size that `len(x)` has fixed
    with quiet():
        program = torch.onnx.export(net, tuple(two.values()), dynamo=True, dynamic_shapes=axes, verbose=False,
                                    input_names=list(two), output_names=["out"])  # fmt: skip
    assert program is not None and program.exported_program is not None
    forget(program.exported_program)
    size = sum(v.const_value.nbytes for v in program.model.graph.initializers.values() if v.const_value is not None)
    if size >= LIMIT:
        raise refuse(
            "onnx.bytes", size, f"below {LIMIT}, all that one file holds", "save the weights alone, or halve the precision"
        )
    model = program.model_proto
    model.ClearField("metadata_props")
    _bare(model.graph)
    graph: bytes = model.SerializeToString()
    return graph


def _bare(graph: Any, outer: dict[str, str] | None = None) -> None:
    """Without what the exporter notes of the code it traced (files and lines of this machine among it), and weights by their own names."""
    for part in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    taken = {v.name for v in graph.input} | {name for node in graph.node for name in node.output}
    own = {t.name: short for t in graph.initializer if (short := t.name.removeprefix("net.")) not in taken}
    for t in (*graph.initializer, *graph.value_info):
        t.name = own.get(t.name, t.name)
    own = (outer or {}) | own
    for node in graph.node:
        node.input[:] = [own.get(name, name) for name in node.input]
        for a in node.attribute:
            for inner in (*([a.g] if a.HasField("g") else []), *a.graphs):
                _bare(inner, own)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The exporter warns of its own deprecations and of a missing torchvision, and prints graphs where it fails: nothing a user can
    mend. It also makes code, whose source PyTorch keeps for good, some 80 kB a file: what is new of it is let go."""
    from torch.fx.graph_module import _loader

    known = set(_loader.eval_cache)
    logs = [logging.getLogger(name) for name in ("torch.onnx", "torch.fx")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for made in set(_loader.eval_cache) - known:
            _loader.eval_cache.pop(made)
            linecache.cache.pop(made, None)
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)


def forget(program: torch.export.ExportedProgram) -> None:
    """Let go of what PyTorch found out while it traced: the symbols of its shapes know its stand-ins for tensors, which know the
    symbols, through memory where Python's collector doesn't look. About 0.1 MB a file."""
    from torch._subclasses.fake_tensor import FakeTensor
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    for node in program.graph.nodes:
        if isinstance(seen := node.meta.get("val"), FakeTensor) and seen.fake_mode.shape_env is not None:
            seen.fake_mode.shape_env.tracked_fakes = None
    for kept in vars(ShapeEnv).values():
        if hasattr(kept, "cache_clear"):
            kept.cache_clear()


def session_of(graph: bytes | str) -> Any:
    """ONNX Runtime with a graph, or the file at a path, on the CPU and on as many threads as PyTorch has."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3  # errors only
    options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
    options.add_session_config_entry("session.force_spinning_stop", "1")  # its threads aren't to steal the next one's time
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
