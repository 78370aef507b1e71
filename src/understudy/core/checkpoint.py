"""A run on disk: one safetensors file a checkpoint, written whole or not at all, read back to the same bits."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from understudy.core import sharding
from understudy.core.batch import Batch
from understudy.core.errors import Refused, refuse
from understudy.core.files import write_atomically
from understudy.core.run import Best, Run, artefact, take_shapes
from understudy.core.world import recast

KEEP = 2  # the newest, and the one before it in case the newest can't be read


def state(run: Run) -> dict[str, Any]:
    """All that a run is, as plain values and tensors."""
    best = run.best and {"score": run.best.score, "step": run.best.step, "artefact": _of_artefact(run.best.artefact)}
    return {
        "method": run.method.config(),
        "seed": run.seed,
        "step": run.step,
        "nets": sharding.gather(dict(run.nets.state_dict())),
        "opts": {k: sharding.gather(o.state_dict()) for k, o in run.opts.items()},
        "best": best,
        "observed": dict(run.observed),
        "reshaped": sorted(run.reshaped),
        "skipped": dict(run.skipped),
        "parts": run.world.parts,
    }


def restore(run: Run, saved: dict[str, Any]) -> Run:
    """Make a freshly started run the one that was saved. Raises `Refused` where it's another method's or another network's."""
    if json.dumps(saved["method"]) != json.dumps(run.method.config()):
        raise refuse("checkpoint.method", saved["method"], f"this run's own method, {run.method.config()}",
                     "resume with the configuration it was started with")  # fmt: skip
    run.reshaped = set(saved.get("reshaped", ()))
    for name in run.reshaped & set(run.nets):
        take_shapes(run.nets[name], {k.removeprefix(f"{name}."): v for k, v in saved["nets"].items() if k.startswith(f"{name}.")})
    try:
        sharding.load(run.nets, saved["nets"])
    except RuntimeError as e:
        raise Refused(f"checkpoint: its networks are not this run's: {str(e).splitlines()[1].strip()}") from None
    for name, opt in run.opts.items():
        sharding.load_optimiser(opt, saved["opts"][name])
    run.seed, run.step, run.observed = saved["seed"], saved["step"], dict(saved.get("observed", {}))
    run.skipped, run.world = dict(saved.get("skipped", {})), recast(run.world, parts=saved.get("parts", run.world.parts))
    run.best = saved["best"] and Best(saved["best"]["score"], saved["best"]["step"], _to_artefact(run, saved["best"]["artefact"]))
    return run


def write(run: Run, folder: Path) -> Path:
    """Save into a folder of checkpoints; older ones than the last two are removed. One process writes for all."""
    run.agree()
    path, now = folder / f"step-{run.step:09d}.safetensors", state(run)
    if run.world.rank == 0:
        tensors: dict[str, Tensor] = {}
        plain = json.dumps(_flatten(now, "", tensors))
        write_atomically(path, save(tensors, {"state": plain, "digest": _digest(plain, tensors)}))
        prune(folder)
    return path


def prune(folder: Path) -> None:
    """Leave the newest two."""
    for old in found(folder)[:-KEEP]:
        os.unlink(old)


def found(folder: Path) -> list[Path]:
    """Checkpoints in a folder, oldest first."""
    return sorted(folder.glob("step-*.safetensors"))


def read(path: Path) -> dict[str, Any]:
    """What `write` wrote. Raises `Refused` on a file that is damaged or isn't a checkpoint."""
    try:
        with safe_open(path, "pt") as f:
            about = f.metadata()
            saved: dict[str, Any] = _unflatten(json.loads(about["state"]), f)
            tensors = {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118 (not a dict)
            if about["digest"] != _digest(about["state"], tensors):
                raise ValueError("its digest isn't that of what it holds")
            return saved
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError, OSError) as e:
        raise refuse("checkpoint", str(path), f"a readable checkpoint ({type(e).__name__}: {e})",
                     "delete it to go on from the one before") from None  # fmt: skip


def latest(folder: Path) -> dict[str, Any] | None:
    """The newest checkpoint that can be read, or None where there is none. Raises `Refused` where none of several can be read."""
    error: Refused | None = None
    for path in reversed(found(folder)):
        try:
            return read(path)
        except Refused as e:
            error = error or e
    if error is not None:
        raise error
    return None


def _of_artefact(made: nn.Module | Batch) -> dict[str, Any]:
    return dict(made.state_dict()) if isinstance(made, nn.Module) else dict(made)


def _to_artefact(run: Run, saved: dict[str, Any]) -> nn.Module | Batch:
    made = artefact(run)
    if isinstance(made, nn.Module):
        if run.reshaped:
            take_shapes(made, saved)
        made.load_state_dict(saved)
        return made
    return Batch(saved)


def _digest(plain: str, tensors: dict[str, Tensor]) -> str:
    """Of every bit of a checkpoint: a disk that lies is noticed before a run goes on from it."""
    digest = hashlib.blake2b(plain.encode(), digest_size=16)
    for name in sorted(tensors):
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _flatten(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """Plain JSON with `{"tensor": path}` where a tensor stood; dicts become pairs, since JSON's keys are only words."""
    if isinstance(value, Tensor):
        tensors[path] = value.detach().cpu().contiguous().clone()
        return {"tensor": path}
    if isinstance(value, dict):
        return {"pairs": [[k, _flatten(v, f"{path}/{k}", tensors)] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [_flatten(v, f"{path}/{i}", tensors) for i, v in enumerate(value)]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise refuse(f"checkpoint{path}", type(value).__name__, "tensors, numbers, words, and lists or dicts of them")


def _unflatten(value: Any, file: Any) -> Any:
    if not isinstance(value, dict):
        return value
    (kind, inside), = value.items()  # fmt: skip
    if kind == "tensor":
        return file.get_tensor(inside)
    if kind == "pairs":
        return {k: _unflatten(v, file) for k, v in inside}
    items = [_unflatten(v, file) for v in inside]
    return tuple(items) if kind == "tuple" else items
