"""Changes of bytes: what disks, networks, editors and ill will do to a file. The same seed gives the same changes."""

from __future__ import annotations

import json
import random
import struct
from typing import Any

WORDS = [b"null", b"true", b"[]", b"{}", b'""', b"-1", b"0", b"1e999", b"NaN", b"-Infinity", b"99999999999999999999", b"1e-400", b"\\ud800", b"\x00", b"\xff\xfe",
         "é\u202e𝔘".encode(), b"../", b"::", b"://", b"\r\n", b'"', b"'", b",", b"\t", b"%s", b"!!python/object:", b"[" * 3000, b"{" * 300, b"9" * 5000]  # fmt: skip
SIZES = [
    struct.pack(f, n)
    for f in ("<Q", ">Q", "<I", ">I", "<H")
    for n in (0, 1, 2 ** (8 * struct.calcsize(f)) - 1, 2 ** (8 * struct.calcsize(f) - 1))
]
VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    1e308,
    float("nan"),
    float("inf"),
    2**64,
    10**400,
    "",
    "x",
    "é\u202e",
    "\ud800",
    "x" * 2000,
    [],
    {},
    [None],
    {"a": None},
    [[[[]]]],
    "\0",
]
MOST = 200_000  # bytes: files that say much of themselves, not large ones


def mutated(data: bytes, dice: random.Random, others: list[bytes]) -> bytes:
    """One to four changes."""
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        data = _json(data, dice) if dice.random() < 0.5 and data[:1] in b"{[" else _bytes(data, dice, others)
    return data[:MOST]


def _bytes(data: bytes, dice: random.Random, others: list[bytes]) -> bytes:
    raw, at = bytearray(data), dice.randrange(len(data) + 1)
    until = min(len(data), at + dice.choice((1, 2, 4, 8, 64, 1024)))
    how = dice.randrange(9)
    if how == 0 and raw:
        for _ in range(dice.choice((1, 1, 2, 8))):
            raw[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)
    elif how == 1:
        return bytes(raw[:at])
    elif how == 2:
        del raw[at:until]
    elif how == 3:
        raw[at:at] = raw[at:until] * dice.choice((1, 2, 50))
    elif how == 4:
        raw[at:at] = dice.choice(WORDS)
    elif how == 5:
        size = dice.choice(SIZES)
        raw[at : at + len(size)] = size
    elif how == 6 and others:
        other = dice.choice(others)
        raw[at:] = other[dice.randrange(len(other) + 1) :]
    elif how == 7:
        raw[at:until] = dice.randbytes(until - at)
    else:
        digits = [i for i, b in enumerate(raw) if 48 <= b < 58]
        if digits:
            i = dice.choice(digits)
            raw[i : i + 1] = dice.choice(WORDS)
    return bytes(raw)


def _json(data: bytes, dice: random.Random) -> bytes:
    """A value inside of JSON, or of one of its lines, becomes another."""
    lines = data.split(b"\n")
    i = dice.randrange(len(lines))
    try:
        whole = json.loads(data) if len(lines) < 2 or dice.random() < 0.5 else None
        value = whole if whole is not None else json.loads(lines[i])
    except (ValueError, RecursionError):
        return _bytes(data, dice, [])
    try:
        made = json.dumps(changed(value, dice)).encode()
    except ValueError:  # digits beyond what Python writes
        return data
    if whole is not None:
        return made
    lines[i] = made
    return b"\n".join(lines)


def changed(value: Any, dice: random.Random) -> Any:
    """Plain data with one part replaced, removed, doubled or renamed."""
    places: list[tuple[Any, Any]] = []

    def walk(v: Any) -> None:
        for key in list(v) if isinstance(v, dict) else range(len(v)) if isinstance(v, list) else ():
            places.append((v, key))
            walk(v[key])

    walk(value)
    if not places or dice.random() < 0.02:
        return dice.choice(VALUES)
    held, key = dice.choice(places)
    how = dice.randrange(8)
    if how == 0:
        del held[key]
    elif how == 1 and isinstance(held, dict):
        held[str(key) + "x"] = held.pop(key)
    elif how == 2 and isinstance(held, list):
        held.insert(key, held[key])
    elif how == 3:
        other, name = dice.choice(places)
        try:
            held[key] = json.loads(json.dumps(other[name]))
        except (KeyError, IndexError, ValueError):
            held[key] = None
    else:
        held[key] = dice.choice(VALUES)
    return value
