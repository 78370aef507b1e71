"""A network as a program of `torch.export`: one file that PyTorch runs without the network's code."""

from __future__ import annotations

import copy
import io
import json
import os
import zipfile
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core.errors import Refused, refuse
from understudy.core.files import write_atomically
from understudy.export.onnx import SIZES, TOLERANCE, forget, quiet, some, untraceable


def export_program(net: nn.Module, example: Tensor | dict[str, Tensor], path: str | os.PathLike[str]) -> float:
    """Write the network in evaluation mode, with its forward hooks, and return the largest absolute difference found.

    example: rows as the network is called with them, [N, ...] or a dict of such; give real ones, none is stored. The file has a
    dynamic batch dimension; it was loaded again and run on these rows, 1, 3 and 64 at a time. It is a zip of JSON (the graph) and
    raw numbers (the weights), without pickle, and says nothing of the code it was traced from. `torch.export.load`, though,
    unpickles where a file asks it to: load those that you trust.
    Raises `Refused`, and writes nothing, where the network can't be traced, gives anything but one tensor, or answers otherwise.
    """
    plain, x = copy.deepcopy(net).cpu().eval(), some(example, 4)
    x = {k: v.detach().cpu() for k, v in x.items()} if isinstance(x, dict) else x.detach().cpu()
    with torch.no_grad(), quiet():
        if not isinstance(out := plain(x), Tensor):
            raise refuse("net.output", type(out).__name__, "one tensor", "wrap the network so that it returns its logits")
        try:
            data = _archive(plain, x)
            loaded = torch.export.load(io.BytesIO(data))
            difference, scale = _compare(plain, loaded.module(), example)
            forget(loaded)
        except Refused:
            raise
        except Exception as e:
            raise untraceable(net, e) from e
    if not difference <= TOLERANCE * scale:  # so that NaN is refused too
        raise refuse("program.difference", difference, f"at most {TOLERANCE:g} of the largest output, {scale:.3g}",
                     "look for branches on the batch size, or chance in evaluation mode")  # fmt: skip
    write_atomically(path, data)
    return difference


def _archive(net: nn.Module, x: Tensor | dict[str, Tensor]) -> bytes:
    program = _traced(net, x)
    program.example_inputs = None  # rows of the data stay where they are
    for node in program.graph.nodes:
        for key in ("stack_trace", "nn_module_stack", "torch_fn"):  # files, lines and classes of the code
            node.meta.pop(key, None)
    stream = io.BytesIO()
    torch.export.save(program, stream)
    forget(program)
    with zipfile.ZipFile(stream) as archive:
        for name in archive.namelist():
            if name.endswith("_config.json") and (held := [k for k, v in _payloads(archive.read(name)) if v["use_pickle"]]):
                raise refuse("net", held[0], "plain tensors: this one would be pickled", "use .safetensors or .onnx")
    return stream.getvalue()


def _traced(net: nn.Module, x: Tensor | dict[str, Tensor]) -> torch.export.ExportedProgram:
    batch = {0: torch.export.Dim.DYNAMIC}
    shapes = (dict.fromkeys(x, batch) if isinstance(x, dict) else batch,)
    try:
        return torch.export.export(net, (x,), dynamic_shapes=shapes)
    except Exception:  # it follows values, and so fixes a `len(x)`; the other way reads the code
        return torch.export.export(net, (x,), dynamic_shapes=shapes, strict=True)


def _payloads(config: bytes) -> Any:
    return json.loads(config)["config"].items()


def _compare(net: nn.Module, again: nn.Module, rows: Tensor | dict[str, Tensor]) -> tuple[float, float]:
    difference = scale = torch.zeros(())
    for n in SIZES:
        wanted, got = (f(some(rows, n)).float() for f in (net, again))
        difference, scale = torch.maximum(difference, (wanted - got).abs().max()), torch.maximum(scale, wanted.abs().max())
    return difference.item(), scale.item()
