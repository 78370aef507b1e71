"""What a teacher said at many places, as little of it as teaches as well: words drawn from it, its likeliest words, its hidden states.

Everything is made of a `Lazy` answer a chunk of places at a time, so the logits of all of them never exist at once. What is kept of words is
ragged, `Words`; `parts.pack` makes bytes of it, and `Words.samples` or `Words.topk` what the divergences take.

    sampled   n draws at even steps through the cumulative distribution: the count of a word is n p_v rounded down or up, and E[count] = n p_v
    hybrid    as many even steps as at most m words take, 1/s of them; likely words, p_v >= s, are counted LOT times as finely
    top-k     the likeliest k words; the rest of the mass stays unsaid, so what is learned from it is biased
    hidden    the states that enter the head, in 8 bits

Even steps leave a word the least variance that whole counts can have, f (1 - f) / n^2 with f the fraction of n p_v, where draws one by
one have p (1 - p) / n; and n p_v is the same resolution at every place, so a place where the teacher is sure costs few words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from understudy.core.errors import refuse
from understudy.parts.lazy import Lazy, Samples, TopK

BUDGET = 2**26  # bytes of logits that are made at a time
CACHED = 2**21  # of them, what is worked on at a time by a processor, whose cache holds that
LOT = 4  # units that a drawn word of a hybrid's tail counts; likely words are counted in single ones
FINEST = 2**12  # most steps of a hybrid: what is left beyond weighs less than a 4096th


@dataclass(frozen=True)
class Words:
    """At T places, in order: counts [T], how many different words; ids [M] and values [M] of them, M = counts.sum(), place after place;
    entropy [T] in nats. values: whole units, whose share of the place's sum is the weight; or log-probabilities."""

    counts: Tensor
    ids: Tensor
    values: Tensor
    entropy: Tensor | None = None

    def samples(self, t: float = 1.0, size: int = 0) -> Samples:
        """Of units; size: of the vocabulary."""
        units = self._padded(self.values.to(torch.float32), 0.0)
        return Samples(self._padded(self.ids.long(), -1), units / units.sum(1, keepdim=True).clamp(min=1), self.entropy, t, size)

    def topk(self, t: float = 1.0, size: int = 0) -> TopK:
        """Of log-probabilities; size: of the vocabulary."""
        return TopK(self._padded(self.ids.long(), -1), self._padded(self.values.to(torch.float32), -torch.inf), t, size)

    def _padded(self, flat: Tensor, empty: float) -> Tensor:
        most = int(self.counts.max()) if len(self.counts) else 0
        there = torch.arange(most, device=flat.device) < self.counts[:, None]
        return flat.new_full((len(self.counts), most), empty).masked_scatter_(there, flat)

    def to(self, device: str | torch.device) -> Words:
        """The same, there."""
        entropy = None if self.entropy is None else self.entropy.to(device)
        return Words(self.counts.to(device), self.ids.to(device), self.values.to(device), entropy)

    @classmethod
    def of(cls, ids: Tensor, values: Tensor, entropy: Tensor | None = None) -> Words:
        """Of padded [T, k], where -1 is no word."""
        ids, order = ids.masked_fill(ids < 0, torch.iinfo(ids.dtype).max).sort(1)
        there = ids < torch.iinfo(ids.dtype).max
        return cls(there.sum(1), ids[there], values.gather(1, order)[there], entropy)

    @classmethod
    def joined(cls, parts: list[Words]) -> Words:
        """One after the other."""
        entropy = [w.entropy for w in parts if w.entropy is not None]
        return cls(torch.cat([w.counts for w in parts]), torch.cat([w.ids for w in parts]), torch.cat([w.values for w in parts]),
                   torch.cat(entropy) if entropy else None)  # fmt: skip

    def split(self, places: list[int]) -> list[Words]:
        """So many places each."""
        counts = torch.split(self.counts, places)
        sizes = [int(c.sum()) for c in counts]
        entropy = [None] * len(places) if self.entropy is None else torch.split(self.entropy, places)
        ids, values = torch.split(self.ids, sizes), torch.split(self.values, sizes)
        return [Words(*w) for w in zip(counts, ids, values, entropy, strict=True)]


def sampled(answer: Lazy, n: int, key: Tensor, t: float = 1.0) -> Words:
    """n draws at every place that is asked for, [T, V] -> Words. key [T]: numbers that chance hangs on, see `chance`."""
    found = []
    for rows, logp in _chunks(answer, t):
        p = logp.exp()
        ids, counts = _runs(steps(p, torch.full_like(key[rows], n), chance(key[rows], 0)))
        found.append(Words.of(ids, counts, _entropy(p, logp)))
    return Words.joined(found) if found else _nothing(answer)


def hybrid(answer: Lazy, m: int, key: Tensor, t: float = 1.0) -> Words:
    """At most m words a place (one more, now and then), the likely ones to a LOT-th of a step, the others drawn."""
    found = []
    for rows, logp in _chunks(answer, t):
        p = logp.exp()
        likely, ids = p.topk(min(m, p.shape[1]), dim=1)
        likely = likely.double() / p.sum(1, keepdim=True, dtype=torch.float64)
        n = _resolution(likely, m)
        is_head = likely * n[:, None] >= 1
        heads = (likely * is_head).sum(1)
        tail = n - heads * n  # steps that are left for the words drawn
        lots = (tail + chance(key[rows], 0)).floor().long().clamp_(min=0)
        units = _even(likely * is_head, LOT * (n - lots), chance(key[rows], 1))
        rest = p.scatter(1, ids, torch.where(is_head, 0.0, p.gather(1, ids)))
        drawn, counts = _runs(steps(rest, torch.where(rest.sum(1) > 0, lots, 0), chance(key[rows], 2)))
        ids = torch.cat([ids.masked_fill(units == 0, -1), drawn], 1)
        found.append(Words.of(ids, torch.cat([units, LOT * counts], 1), _entropy(p, logp)))
    return Words.joined(found) if found else _nothing(answer)


def top(answer: Lazy, k: int, t: float = 1.0) -> Words:
    """The k likeliest words and their log-probabilities under all of them."""
    found = []
    for _, logp in _chunks(answer, t):
        values, ids = logp.topk(min(k, answer.size), dim=1)
        found.append(Words.of(ids, values))
    return Words.joined(found) if found else _nothing(answer)


def in_8_bits(hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers [T, H] in -127 .. 127, and by what each row is to be multiplied, [T]"""
    scale = hidden.float().abs().amax(1) / 127
    scale = torch.where(scale > 0, scale, 1.0)
    return (hidden.float() / scale[:, None]).round_().to(torch.int8), scale


def chance(key: Tensor, which: int) -> Tensor:
    """A number in [0, 1) of each key and of which, the same on every machine; [T] -> float64 [T] (Steele, Lea and Flood 2014)."""
    x = key + (((which + 1) * 0x9E3779B97F4A7C15 + 2**63) % 2**64 - 2**63)  # wraps, as the products do
    for shift, factor in ((30, -4658895280553007687), (27, -7723592293110705685)):
        x = (x ^ _right(x, shift)) * factor
    return _right(x ^ _right(x, 31), 11).double() / 2**53


def steps(p: Tensor, n: Tensor, u: Tensor) -> Tensor:
    """Words at n even steps through the cumulative sum of p, the first at u of a step; [T, V], [T], [T] -> ids [T, max n], -1 behind."""
    until = p.cumsum(1, dtype=torch.float64)
    whole = until[:, -1:]
    i = torch.arange(int(n.max()) if len(n) else 0, device=p.device)
    at = (i + u[:, None]) / n.clamp(min=1)[:, None] * whole
    at = torch.minimum(at, torch.nextafter(whole, torch.zeros_like(whole)))
    return torch.searchsorted(until, at, right=True).clamp_(max=p.shape[1] - 1).masked_fill_(i >= n[:, None], -1)


def _even(p: Tensor, units: Tensor, u: Tensor) -> Tensor:
    """So many units shared out over words in proportion to p, each rounded down or up, right on average; [T, k], [T], [T] -> [T, k]"""
    until = p.cumsum(1)
    until = until / until[:, -1:].clamp(min=torch.finfo(p.dtype).tiny) * units[:, None] + u[:, None]
    return until.floor().long().diff(dim=1, prepend=torch.zeros_like(units)[:, None])


def _resolution(likely: Tensor, m: int) -> Tensor:
    """The steps n at which about m words are kept, sum_v min(1, n p_v) = m: with the k likeliest kept for sure, 1/n of what is left over
    m - k is more than the next has; likely [T, m], falling -> [T]"""
    before = likely.cumsum(1) - likely
    left = (1 - before).clamp(min=0) / (m - torch.arange(likely.shape[1], device=likely.device))
    step = left.amin(1)  # it falls until that holds for the first time, and rises from there
    steps: Tensor = (1 / step.clamp(min=1 / FINEST)).ceil().long()
    return steps


def _runs(ids: Tensor) -> tuple[Tensor, Tensor]:
    """Different words and how often each is there, of ids [T, n] in which equal ones are neighbours; 0 of -1; -> [T, n], [T, n]"""
    if not ids.shape[1]:
        return ids, ids
    first = torch.ones_like(ids, dtype=torch.bool)
    first[:, 1:] = ids[:, 1:] != ids[:, :-1]
    counts = torch.zeros_like(ids).scatter_add_(1, first.cumsum(1) - 1, torch.ones_like(ids))
    kept = torch.full_like(ids, -1).masked_scatter_(counts > 0, ids[first])
    return kept, counts.masked_fill_(kept < 0, 0)


@torch.no_grad()
def _chunks(answer: Lazy, t: float) -> Iterator[tuple[slice, Tensor]]:
    """Log-probabilities [m, V] of some of the places at a time."""
    if not t > 0:
        raise refuse("t", t, "a number above 0")
    answer = answer.detach().rows()
    many, few = (max(1, size // (4 * answer.size)) for size in (BUDGET, CACHED if answer.device.type == "cpu" else BUDGET))
    for i in range(0, len(answer), many):
        rows = slice(i, min(i + many, len(answer)))
        z = answer.heads[0].logits(rows, slice(0, answer.size))
        for head in answer.heads[1:]:
            z += head.logits(rows, slice(0, answer.size))
        for j, part in zip(range(i, rows.stop, few), torch.split(z, few), strict=True):
            yield slice(j, j + len(part)), (part if t == 1 else part / t).log_softmax(1)


def _entropy(p: Tensor, logp: Tensor) -> Tensor:
    return -torch.where(p > 0, p * logp, 0.0).sum(1)


def _nothing(answer: Lazy) -> Words:
    none = torch.zeros(0, dtype=torch.long, device=answer.device)
    return Words(none, none, none.float(), none.float())


def _right(x: Tensor, by: int) -> Tensor:
    """Shifted as an unsigned number."""
    shifted: Tensor = (x >> by) & (2 ** (64 - by) - 1)
    return shifted
