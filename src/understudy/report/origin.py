"""What a run was made of, as hashes and versions: enough to see whether it is the same one again."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

PACKAGE = Path(__file__).resolve().parents[1]
LIBRARIES = ("understudy", "torch", "numpy", "accelerate", "safetensors", "onnxruntime")


def origin(rows: str, said: Tensor | None = None, **nets: nn.Module | None) -> dict[str, str]:
    """Hashes of the rows (as given), of the weights of each network by its name, and of the code; the commit, in a checkout.

    said: a teacher's answers, which stand in for the weights that a teacher of another kind doesn't have.
    """
    made = {f"{name.replace('_', ' ')} weights": weights(net) for name, net in nets.items() if net is not None}
    if said is not None and not next(iter(made.values()), None):
        made |= {"teacher answers": digest({"out": said})}
    return {"data rows": rows} | {k: v for k, v in made.items() if v} | {"code": code()} | commit()


def weights(net: nn.Module) -> str:
    """The digest of its parameters and buffers; empty where it holds none."""
    held = net.state_dict()
    return digest(held) if held else ""


def digest(tensors: Mapping[str, Any]) -> str:
    """32 hexadecimal digits that depend on every tensor: its name, type, shape and bytes; empty where one isn't whole in one place."""
    made = hashlib.blake2b(digest_size=16)
    for name, t in sorted(tensors.items()):
        if not isinstance(t, Tensor) or hasattr(t, "full_tensor"):
            return ""
        made.update(f"{name} {t.dtype} {tuple(t.shape)}".encode())
        made.update(t.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return made.hexdigest()


def code() -> str:
    """32 hexadecimal digits that depend on the name and text of every source file of the package."""
    made = hashlib.blake2b(digest_size=16)
    for path in sorted(p for p in PACKAGE.rglob("*") if p.suffix in (".py", ".j2")):
        made.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return made.hexdigest()


def commit() -> dict[str, str]:
    """The checkout's commit, and whether the package differs from it; nothing outside of one."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(PACKAGE), *words], capture_output=True, text=True, timeout=20, check=True)
        return done.stdout.strip()

    if not (PACKAGE.parents[1] / ".git").exists():  # installed somewhere inside of a foreign checkout is no checkout of ours
        return {}
    try:
        changed = " with changes" if git("status", "--porcelain", "--", ".") else ""
        return {"commit": git("rev-parse", "HEAD") + changed}
    except (OSError, subprocess.SubprocessError):
        return {}


def environment() -> dict[str, str]:
    """Versions of what computes, the machine, and the threads that PyTorch uses."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    place = {"python": platform.python_version(), "system": platform.system(), "machine": platform.machine()}
    return found | place | {"threads": str(torch.get_num_threads())}
