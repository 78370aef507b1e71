"""What a run was made of, as hashes and versions: enough to see whether it is the same one again."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import nn

PACKAGE = Path(__file__).resolve().parents[1]
LIBRARIES = ("understudy", "torch", "numpy", "accelerate", "safetensors", "onnxruntime")


def origin(rows: str, **nets: nn.Module | None) -> dict[str, str]:
    """Hashes of the rows (as given), of the weights of each network by its name, and of the code; the commit, in a checkout."""
    made = {f"{name.replace('_', ' ')} weights": weights(net) for name, net in nets.items() if net is not None}
    found = commit()
    return {"data rows": rows} | made | {"code": code()} | ({"commit": found} if found else {})


def weights(net: nn.Module) -> str:
    """32 hexadecimal digits that depend on every parameter and buffer: its name, type, shape and bytes."""
    digest, held = hashlib.blake2b(digest_size=16), net.state_dict()
    for name, t in sorted(held.items()):
        if not isinstance(t, torch.Tensor) or hasattr(t, "full_tensor"):
            return "not hashed: not whole tensors in one place"
        digest.update(f"{name} {t.dtype} {tuple(t.shape)}".encode())
        digest.update(t.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest() if held else "not hashed: it holds no tensors"


def code() -> str:
    """32 hexadecimal digits that depend on the name and text of every source file of the package."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(p for p in PACKAGE.rglob("*") if p.suffix in (".py", ".j2")):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def commit() -> str | None:
    """The checkout's commit, and whether the package differs from it; None outside of one."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(PACKAGE), *words], capture_output=True, text=True, timeout=20, check=True)
        return done.stdout.strip()

    if not (PACKAGE.parents[1] / ".git").exists():  # installed somewhere inside of a foreign checkout is no checkout of ours
        return None
    try:
        return git("rev-parse", "HEAD") + (" with changes" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.SubprocessError):
        return None


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
