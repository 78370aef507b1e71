"""Files that aren't what their names say: pickles that leave a mark when they are opened, and small files that unpack to much."""

from __future__ import annotations

import gzip
import io
import pickle
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch


class Trap:
    """Pickled, it writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return exec, (f"open({str(self.mark)!r}, 'w').close()",)


def pickled(mark: Path) -> bytes:
    return pickle.dumps(Trap(mark))


def saved(mark: Path) -> bytes:
    """As `torch.save` writes it."""
    file = io.BytesIO()
    torch.save(Trap(mark), file)
    return file.getvalue()


def npz(mark: Path) -> bytes:
    """Arrays of objects."""
    file = io.BytesIO()
    np.savez(file, x=np.array([Trap(mark)], object), y=np.array([Trap(mark)], object))
    return file.getvalue()


def npy(mark: Path) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([Trap(mark)], object))
    return file.getvalue()


KINDS = {"pickle": pickled, "torch": saved, "npz": npz, "npy": npy, "gzip": lambda mark: gzip.compress(pickled(mark))}


def zeros(path: Path, size: int) -> Path:
    """An npz of `size` bytes of zeros in x, written in pieces; about a thousandth of that on the disk."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, shape, data in (("x.npy", (size // 8, 1), None), ("y.npy", (2,), np.zeros(2))):
            with archive.open(name, "w", force_zip64=True) as file:
                np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
                left = size if data is None else 0
                while left > 0:
                    left -= file.write(bytes(min(left, 2**22)))
                if data is not None:
                    file.write(data.tobytes())
    return path


def png(path: Path, width: int, height: int) -> Path:
    """A black picture of one bit a pixel, packed row by row."""
    row, packer = bytes(1 + (width + 7) // 8), zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)

    head = width.to_bytes(4) + height.to_bytes(4) + bytes([1, 0, 0, 0, 0])
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return path
