"""Folders wherever they lie: on this disk, or behind any address that fsspec knows (`s3://`, `gs://`, `memory://` ...)."""

from __future__ import annotations

import hashlib
import os
import uuid
from pathlib import Path
from typing import Any

import numpy as np

from understudy.core.errors import refuse
from understudy.core.files import write_atomically


class Place:
    """A folder with plain files in it. Files are there whole or not at all, under a name of their own until they are."""

    def __init__(self, address: str | os.PathLike[str]) -> None:
        self.address, self.held = str(address), None  # held: a lock, by its file descriptor
        self.local = None if "://" in self.address.removeprefix("file://") else Path(self.address.removeprefix("file://"))
        if self.local is None:
            self.fs, self.root = _opened(self.address)

    def __str__(self) -> str:
        return self.address

    def __truediv__(self, name: str) -> str:
        """The address of a file, for people."""
        return f"{self.address.rstrip('/')}/{name}"

    def names(self) -> list[str]:
        """Of all files, in order; none where there is no folder."""
        if self.local is not None:
            return sorted(p.name for p in self.local.iterdir()) if self.local.is_dir() else []
        try:
            return sorted(str(p).rpartition("/")[2] for p in self.fs.ls(self.root, detail=False))
        except FileNotFoundError:
            return []

    def has(self, name: str) -> bool:
        """Is it there?"""
        return (self.local / name).exists() if self.local is not None else bool(self.fs.exists(f"{self.root}/{name}"))

    def read(self, name: str) -> bytes:
        """All of it. Raises `OSError` where it isn't there."""
        if self.local is not None:
            return (self.local / name).read_bytes()
        data: bytes = self.fs.cat_file(f"{self.root}/{name}")
        return data

    def bytes(self, name: str) -> Any:
        """Of a file where it lies: mapped into memory on this disk, else copied to this machine once; -> uint8 [size]"""
        raw = np.memmap(self.local / name if self.local is not None else self._copied(name), dtype=np.uint8, mode="r")
        return raw.view(np.ndarray)  # which asks less at every slice

    def write(self, name: str, data: bytes | str) -> None:
        """Whole or not at all."""
        if self.local is not None:
            write_atomically(self.local / name, data)
            return
        self.fs.makedirs(self.root, exist_ok=True)
        tmp = f"{self.root}/.{uuid.uuid4().hex}.tmp"
        self.fs.pipe_file(tmp, data.encode() if isinstance(data, str) else data)
        self.fs.mv(tmp, f"{self.root}/{name}")

    def write_first(self, name: str, data: bytes) -> None:
        """As `write`, but where somebody else was first, what they wrote stays (on this disk even in the same instant)."""
        if self.has(name):
            return
        if self.local is None:
            self.write(name, data)
            return
        mine = write_atomically(self.local / f".{uuid.uuid4().hex}.tmp", data)
        try:
            os.link(mine, self.local / name)
        except FileExistsError:
            pass
        finally:
            mine.unlink()

    def sweep(self) -> None:
        """Throw away what a kill left half-written, unless somebody else is at work here; from now on until `leave`, we are."""
        alone, self.held = True, None
        if self.local is not None:
            import fcntl

            self.held = os.open(self.local, os.O_RDONLY)
            try:
                fcntl.flock(self.held, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a kill lets go of it
            except OSError:
                alone = False
        for name in self.names() if alone else ():
            if name.startswith(".") and name.endswith(".tmp"):
                self.drop(name)
        if self.held is not None:
            fcntl.flock(self.held, fcntl.LOCK_SH)

    def leave(self) -> None:
        """We aren't at work here any more."""
        if self.held is not None:
            os.close(self.held)
            self.held = None

    def drop(self, name: str) -> None:
        """Delete a file."""
        if self.local is not None:
            (self.local / name).unlink(missing_ok=True)
        else:
            self.fs.rm_file(f"{self.root}/{name}")

    def _copied(self, name: str) -> Path:
        """On this machine, under a name that changes with the file."""
        path = f"{self.root}/{name}"
        about = self.fs.info(path)
        told = [self.address, name, about.get("size"), *(str(about.get(k)) for k in ("ETag", "mtime", "created", "LastModified"))]
        root = Path(os.environ.get("UNDERSTUDY_CACHE") or Path.home() / ".cache" / "understudy")
        kept = root / "stores" / hashlib.blake2b(repr(told).encode(), digest_size=16).hexdigest()
        if not kept.exists():
            write_atomically(kept, self.fs.cat_file(path))
        return kept


def _opened(address: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError:
        raise refuse("store", address, "a folder of this machine", "pip install fsspec") from None
    try:
        fs, root = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as e:
        raise refuse("store", address, "an address that fsspec can open", str(e).splitlines()[0]) from None
    return fs, str(root).rstrip("/")
