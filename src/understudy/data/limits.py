"""How much a file may unpack to: a small one may ask for more memory than there is, so it is measured before it is read.

`UNDERSTUDY_LIMITS="unpacked=64GB,line=1GB,pixels=1000000000"` raises what is refused.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from understudy.core.errors import refuse

SETTING = "UNDERSTUDY_LIMITS"
USUAL = {
    "unpacked": 4 * 2**30,  # bytes in memory, of one file or of all pictures together
    "line": 2**26,  # bytes of one line of JSON
    "pixels": 2**26,  # of one picture
}
TIMES = 20  # a large file may unpack to so many times its own size
WORTH = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
WIDTH = {
    "BOOLEAN": 1,
    "INT32": 4,
    "INT64": 8,
    "INT96": 12,
    "FLOAT": 4,
    "DOUBLE": 8,
    "BYTE_ARRAY": 4,
}  # of parquet; of a text its place


def limit(name: str) -> int:
    """`unpacked`, `line` or `pixels`, as the setting says. Raises `Refused` where it can't be read."""
    found = USUAL[name]
    for word in filter(None, os.environ.get(SETTING, "").replace(" ", "").split(",")):
        said = re.fullmatch(r"(\w+)=(\d{1,18})([KMGT]B)?", word)
        if not said or said[1] not in USUAL:
            raise refuse(SETTING, word, f"{', '.join(USUAL)} and a number, as in unpacked=64GB,pixels=1000000000")
        if said[1] == name:
            found = int(said[2]) * WORTH[said[3] or ""]
    return found


def within(name: str, size: int, where: object, most: int | None = None) -> None:
    """Raises `Refused` where the size is above the limit, or above `most` where that is given."""
    most = limit(name) if most is None else most
    if size > most:
        unit = "pixels" if name == "pixels" else "bytes"
        mend = f"if you trust it, set {SETTING}={name}={size}"
        raise refuse("file", str(where), f"at most {most:,} {unit} ({name}); it asks for {size:,}", mend)


def room(path: Path) -> int:
    """Bytes that a packed file may unpack to."""
    return max(limit("unpacked"), TIMES * path.stat().st_size)


class _Counted(io.RawIOBase):
    """What a stream unpacks to, up to a limit."""

    def __init__(self, inner: Any, path: Path, most: int) -> None:
        self.inner, self.path, self.most, self.said = inner, path, most, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        n: int = self.inner.readinto(buffer)
        self.said += n
        within("unpacked", self.said, self.path, self.most)
        return n

    def close(self) -> None:
        self.inner.close()
        super().close()


def opened(path: Path) -> BinaryIO:
    """A file's bytes, unpacked where it ends in .gz; reading more than it may unpack to raises `Refused`."""
    if path.suffix != ".gz":
        return open(path, "rb")
    return io.BufferedReader(_Counted(gzip.open(path), path, room(path)))


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Numbers, from 1, and lines that aren't blank; a line ends with its end of line only."""
    most = limit("line")
    with open(path, "rb") as file:
        number = 0
        while line := file.readline(most + 1):
            number += 1
            if len(line) > most:
                within("line", max(len(line), path.stat().st_size), f"{path}:{number}")
            if line.strip():
                yield number, line


def arrays(path: Path) -> dict[str, Any]:
    """What a file of `numpy.savez` holds, name -> array; never unpickled. Raises `ValueError` or `zipfile.BadZipFile` where it is none."""
    with zipfile.ZipFile(path) as archive:
        total = 0
        for member in archive.infolist():
            if member.flag_bits & 1:
                raise ValueError(f"{member.filename} is encrypted")
            with archive.open(member) as file:
                total += _declared(file, member)
            within("unpacked", total, path, room(path))
    with np.load(path, allow_pickle=False) as held:
        return {name: held[name] for name in held.files}


def _declared(file: Any, member: zipfile.ZipInfo) -> int:
    """Bytes of an array as its head tells them, which are those that the archive has of it."""
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"{member.filename} is of version {version}")
    shape, _, dtype = read(file)
    size: int = math.prod(shape) * dtype.itemsize
    if dtype.hasobject or file.tell() + size != member.file_size:
        raise ValueError(f"{member.filename} doesn't hold the {dtype} {list(shape)} that it tells of")
    return size


def columns(path: Path) -> None:
    """Look at a parquet file before it is read. Raises `Refused` where it unpacks to too much."""
    import pyarrow.compute as pc
    from pyarrow import parquet

    most = room(path)
    with parquet.ParquetFile(path) as file:
        about = file.metadata
        groups = [about.row_group(i) for i in range(about.num_row_groups)]
        within("unpacked", sum(g.total_byte_size for g in groups), path, most)
        for i in range(
            len(groups)
        ):  # a row of each: what is damaged is told here, where a look at its columns would end the process
            next(file.iter_batches(batch_size=1, row_groups=[i], use_threads=False), None)
        chunks = [g.column(j) for g in groups for j in range(about.num_columns)]
        size = sum(c.num_values * WIDTH.get(c.physical_type, 16) for c in chunks)
        within("unpacked", max(size, sum(c.total_uncompressed_size for c in chunks)), path, most)
        # a word that is stored once and said a million times: its length counts as often
        said = {c.path_in_schema for c in chunks if c.physical_type == "BYTE_ARRAY" and c.has_dictionary_page
                and c.num_values * c.total_uncompressed_size > most}  # fmt: skip
    for name in sorted(said):
        with parquet.ParquetFile(path, read_dictionary=[name]) as file:
            for column in file.read([name]).itercolumns():
                for chunk in column.chunks:
                    if hasattr(chunk, "dictionary"):
                        spoken = pc.binary_length(chunk.dictionary).take(chunk.indices)
                        size += pc.sum(spoken).as_py() or 0
                        within("unpacked", size, path, most)


def picture(file: Any, name: object) -> Any:
    """A picture of PIL, loaded, of the formats that are pictures; others that PIL knows run programs. Raises `Refused` above the limit."""
    from PIL import Image

    most, usual = limit("pixels"), Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None  # its own limit warns first
    try:
        found = Image.open(file, formats=("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM"))
    finally:
        Image.MAX_IMAGE_PIXELS = usual
    try:
        within("pixels", found.width * found.height, name, most)
        found.load()
    except BaseException as e:
        found.close()
        if isinstance(e, (TypeError, MemoryError)):  # what is told of a picture in its file doesn't fit it
            raise ValueError(f"{type(e).__name__}: {e}") from None
        raise
    return found
