"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import glob
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from understudy.core.errors import Unwritable

REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


@contextlib.contextmanager
def writing(path: str | os.PathLike[str], size: int = 0) -> Iterator[None]:
    """Inside, a disk that refuses is told of in one line, as `Unwritable`: path, reason, bytes that are free and (if known) needed."""
    try:
        yield
    except Exception as e:
        said = re.search(r"os error (\d+)", str(e))  # of a library that isn't Python's
        number = getattr(e, "errno", None) or int(said[1] if said else 0)
        if isinstance(e, Unwritable) or number not in REFUSALS:
            raise
        where = next(p for p in Path(path).absolute().parents if p.exists())
        room = f"{shutil.disk_usage(where).free:,} bytes are free there" + (f", {size:,} are needed" if size else "")
        raise Unwritable(f"{path} can't be written: {os.strerror(number)}; {room}: make room, or choose another place") from e


def write_atomically(path: str | os.PathLike[str], data: bytes | str) -> Path:
    """Write a file (text as UTF-8), making its folders; whoever reads sees the old one or the new one, also after a power cut.

    Raises `Unwritable` (an `OSError`) where the disk refuses, and leaves what was there before.
    """
    path, data = Path(path), data.encode() if isinstance(data, str) else data
    tmp = beside(path)  # same folder: a rename over a mount isn't atomic
    with writing(path, len(data)):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(tmp, "xb") as f:
                f.write(data)
                f.flush()
                os.fsync(f.fileno())
            os.replace(tmp, path)
        finally:
            tmp.unlink(missing_ok=True)
        if os.name == "posix":  # elsewhere a folder can't be opened
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)  # the new name must survive too
            finally:
                os.close(folder)
    return path


def beside(path: Path) -> Path:
    """A place of one's own for what isn't whole yet: `.<name>.<32 hexadecimal digits>.tmp`"""
    return path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex}.tmp")


def sweep(path: Path) -> None:
    """Remove what processes that died left beside a path; nobody else is to be writing to it."""
    for left in path.parent.glob(f".{glob.escape(path.name[:100])}.*.tmp"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def in_order(data: bytes) -> bytes:
    """A safetensors file with its header's entries in one order, so that the same weights are the same bytes: the library writes
    the metadata in the order of a hash table, which is another in every process."""
    size = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + size]), sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # tensors begin at a multiple of 8
    return len(header).to_bytes(8, "little") + header + data[8 + size :]
