"""A few words out of many in few bits, and back."""

from __future__ import annotations

import numpy as np
import pytest

from understudy.core.errors import Refused
from understudy.parts.pack import Book, pack, unpack

RNG = np.random.default_rng(0)


def places(words: int, many: int, each: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Words that follow Zipf's law, in an order of their own; counts, ids and units of so many places."""
    p = 1 / np.arange(1, words + 1)
    names = np.random.default_rng(1).permutation(words)
    found = [np.sort(names[np.unique(RNG.choice(words, RNG.integers(0, 2 * each), p=p / p.sum()))]) for _ in range(many)]
    ids = np.concatenate(found).astype(np.int64)
    return np.array([len(f) for f in found]), ids, RNG.geometric(0.4, len(ids)).astype(np.int64)


@pytest.mark.parametrize("words", [2, 300, 70_000])
@pytest.mark.parametrize("lot", [1, 4])
def test_there_and_back(words: int, lot: int) -> None:
    counts, ids, units = places(words, 40, 12)
    units[: len(units) // 2] = lot
    units[-1] = 2**20
    book = Book.of(np.bincount(ids[: len(ids) // 2], minlength=words), 20)  # the other half may hold words that it never saw
    data, order = pack(counts, ids, units, book, lot)
    again = unpack(data, len(counts), book, lot)
    assert (again[0] == counts).all()
    assert (again[1] == ids[order]).all()
    assert (again[2] == units[order]).all()
    data, order = pack(counts, ids, None, book)
    assert (unpack(data, len(counts), book, None)[1] == ids[order]).all()


def test_nothing() -> None:
    none = np.zeros(0, dtype=np.int64)
    book = Book.of(np.zeros(10, dtype=np.int64), 0)
    assert pack(none, none, none, book)[0] == b""
    for many in (0, 3):
        data, _ = pack(np.zeros(many, dtype=np.int64), none, none, book)
        counts, ids, units = unpack(data, many, book)
        assert (counts.tolist(), ids.tolist(), units.tolist()) == ([0] * many, [], [])


def test_by_hand() -> None:
    """Shelves of one word each (c, then a) and one of two (b, d). A walk 1 0 | 0 1 0 | ... , then the numbers on the shelf of two."""
    book = Book(np.array([2, 0, 1, 3]), np.array([0, 0, 1]))
    data, order = pack(np.array([3, 1]), np.array([0, 2, 3, 1]), np.array([1, 2, 1, 1]), book)
    #       place 1: c, next, a, next, d, next; place 2: next, next, b, next; gamma's lengths: 2 has one bit more; d is 1, b is 0; 2 = 1 0
    bits = "101010" + "0010" + "01" + "1" + "1" + "1" + "1" + "0" + "0"
    assert data == int(bits.ljust(24, "0"), 2).to_bytes(3, "big")
    assert order.tolist() == [1, 0, 2, 3]


def test_near_what_they_are_worth() -> None:
    """Within a fifth of the bits that any code needs that takes the words for drawn, one by one, at these frequencies."""
    words, each = 70_000, 25
    counts, ids, _ = places(words, 400, each)
    said = np.bincount(ids, minlength=words)
    rate = np.minimum(1 / np.arange(1, words + 1) / np.log(words) * counts.mean(), 0.999)  # a word's chance to be kept at a place
    least = -(rate * np.log2(rate) + (1 - rate) * np.log2(1 - rate)).sum() * len(counts)
    spent = 8 * len(pack(counts, ids, None, Book.of(said, len(counts)))[0])
    assert spent < 1.2 * least
    assert spent < 0.75 * len(ids) * np.log2(words)


def test_what_cannot_have_been_written() -> None:
    counts, ids, units = places(300, 5, 6)
    book = Book.of(np.bincount(ids, minlength=300), 5)
    data, _ = pack(counts, ids, units, book)
    for broken in (data[: len(data) // 2], b"\xff" * len(data), b""):
        with pytest.raises(Refused, match="stored signals"):
            unpack(broken, 5, book)
