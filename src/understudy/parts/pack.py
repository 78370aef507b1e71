"""A few words out of a large vocabulary, and small whole numbers, in about as many bits as they are worth.

Words are numbered by how often a teacher says them (a `Book`), and the numbers fall into B shelves that are said about equally often: narrow
ones of frequent words, wide ones of rare. What was kept at a place is a walk along the shelves, a 0 for each shelf that is left behind
and a 1 for each word taken from it, and then, of each word, its number on the shelf in the bits that the shelf needs (Elias 1974 and Fano
1971, with shelves of unequal width). Units are written as Elias (1975) does, in gamma code, 1 bit where a word has the usual ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from understudy.core.errors import Refused

Ints = NDArray[np.int64]
Bits = NDArray[np.uint8]
WIDEST = 24  # bits of a number on a shelf, or of units: four bytes hold it wherever it begins


@dataclass(frozen=True)
class Book:
    """words [V] in order, those said most often first; width [B] of each shelf in bits, of 2^width words."""

    words: Ints
    width: Ints

    @classmethod
    def of(cls, said: Ints, places: int) -> Book:
        """said [V]: how often each word was kept at so many places. The number of shelves is the cheapest for what was said."""
        words = np.argsort(-said, kind="stable")
        mass = np.concatenate([[0], np.cumsum(said[words])])
        width = min((_shelves(mass, share) for share in 2.0 ** np.arange(-10, 1)), key=lambda w: _cost(w, mass, places))
        return cls(words, np.array(width, dtype=np.int64))

    @cached_property
    def start(self) -> Ints:
        """[B + 1]"""
        return np.concatenate([[0], np.cumsum(1 << self.width)])

    @cached_property
    def rank(self) -> Ints:
        """[V]"""
        rank = np.empty_like(self.words)
        rank[self.words] = np.arange(len(self.words))
        return rank


def _shelves(mass: Ints, share: float) -> list[int]:
    """Widths of shelves that hold about that share of what was said, each; at least half of it, where there is as much."""
    widths, at, size = [], 0, len(mass) - 1
    while at < size:
        most, width = share * float(mass[-1]), 0
        while at + (1 << width) < size and mass[min(at + (2 << width), size)] - mass[at] <= most:
            width += 1
        widths.append(width)
        at += 1 << width
    return widths


def _cost(widths: list[int], mass: Ints, places: int) -> float:
    """Bits of all that was said: of the walks' 0s and of the numbers on the shelves."""
    ends = np.minimum(np.cumsum(1 << np.array(widths)), len(mass) - 1)
    held = np.diff(mass[ends], prepend=0)
    return float(len(widths) * places + (held * np.array(widths)).sum())


def pack(counts: Ints, ids: Ints, units: Ints | None, book: Book, lot: int = 1) -> tuple[bytes, Ints]:
    """The words of T places as bytes, and the order in which they are written, which is not theirs; counts [T], ids [M], units [M].

    lot: the units that most of them have, which take one bit.
    """
    place, rank = np.repeat(np.arange(len(counts)), counts), book.rank[ids]
    order = np.lexsort((rank, place))
    place, rank = place[order], rank[order]
    shelf = np.searchsorted(book.start, rank, side="right") - 1
    walk = np.zeros(len(counts) * len(book.width) + len(ids), dtype=np.uint8)
    walk[place * len(book.width) + shelf + np.arange(len(ids))] = 1
    sections = [walk, _fields(rank - book.start[shelf], book.width[shelf])]
    if units is not None:
        number = _usual_first(units[order], lot)
        length = np.frexp(number.astype(np.float64))[1].astype(np.int64) - 1
        unary = np.zeros(int(length.sum()) + len(ids), dtype=np.uint8)
        unary[np.cumsum(length + 1) - 1] = 1
        sections[1:1] = [unary]
        sections.append(_fields(number - (1 << length), length))
    return np.packbits(np.concatenate(sections)).tobytes(), order


def unpack(data: bytes, places: int, book: Book, lot: int | None = 1) -> tuple[Ints, Ints, Ints | None]:
    """counts [T], ids [M] in the order in which they were written, and units [M], None where lot is. Raises `Refused` where it can't be."""
    raw = np.frombuffer(data, dtype=np.uint8)
    bits = np.unpackbits(raw)
    shelves = len(book.width)
    end = _after(np.flatnonzero(bits == 0), places * shelves)
    walk = np.flatnonzero(bits[:end])
    said = len(walk)
    place, shelf = np.divmod(walk - np.arange(said), shelves)
    width, length = book.width[shelf], np.zeros(said, dtype=np.int64)
    if lot is not None:
        ones = np.flatnonzero(bits[end:])[:said]
        stop = end + _after(ones, said)
        length, end = np.diff(ones, prepend=-1) - 1, stop
    if (len(length) and length.max() > WIDEST) or end + int(width.sum() + length.sum()) > len(bits):
        raise Refused("stored signals: bits that can't have been written so")
    both = np.concatenate([width, length])
    numbers = _numbers(raw, end + np.cumsum(both) - both, both)
    rank = book.start[shelf] + numbers[:said]
    if said and rank.max() >= len(book.words):
        raise Refused("stored signals: a word beyond the vocabulary")
    units = None if lot is None else _usual_back(numbers[said:] + (1 << length), lot)
    return np.bincount(place, minlength=places).astype(np.int64), book.words[rank], units


def _after(found: Ints, n: int) -> int:
    """The place behind the n-th of what was found."""
    if n > len(found):
        raise Refused("stored signals: fewer bits than were written")
    return int(found[n - 1]) + 1 if n else 0


def _fields(numbers: Ints, widths: Ints) -> Bits:
    """Numbers one behind the other in so many bits each, the high ones first."""
    left = np.repeat(np.cumsum(widths), widths) - np.arange(int(widths.sum())) - 1  # bits of the number behind this one
    return (np.repeat(numbers, widths) >> left & 1).astype(np.uint8)


def _numbers(raw: Bits, at: Ints, widths: Ints) -> Ints:
    """What `_fields` wrote, from the bit `at` on."""
    padded = np.concatenate([raw, np.zeros(4, dtype=np.uint8)]).astype(np.int64)
    byte = at >> 3
    four = padded[byte] << 24 | padded[byte + 1] << 16 | padded[byte + 2] << 8 | padded[byte + 3]
    numbers: Ints = four >> (32 - (at & 7) - widths) & ((1 << widths) - 1)
    return numbers


def _usual_first(units: Ints, lot: int) -> Ints:
    """1 for the usual ones, and what is below it one up."""
    return np.where(units == lot, 1, units + (units < lot))


def _usual_back(number: Ints, lot: int) -> Ints:
    return np.where(number == 1, lot, number - (number <= lot))
