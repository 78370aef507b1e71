"""Logits that aren't there yet: hidden states, and the heads that would make logits of them.

At a vocabulary of 128,256 the logits are the memory: 1,024 tokens are half a gigabyte, and a loss keeps several of them. A language
model therefore answers with a `Lazy`, and the divergences (`parts.divergence`, through `parts.fused`) make as many logits at a time
as fit a buffer. What a teacher said before, and was stored, is `TopK` or `Samples`, and the same divergences know what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from understudy.core.errors import Refused, refuse


@dataclass(frozen=True)
class Head:
    """factor cap tanh(scale (h W^T + b) / cap), without the tanh where there is no cap; hidden h [..., H], weight W [V or more, H],
    bias b [V or more]."""

    hidden: Tensor
    weight: Tensor
    bias: Tensor | None = None
    scale: float = 1.0
    cap: float | None = None
    factor: float = 1.0

    def logits(self, rows: slice, words: slice, t: float = 1.0, out: Tensor | None = None) -> Tensor:
        """Logits / t of some rows [T, H] and some of the vocabulary, in float32 or wider: the product is rounded once, after its sum."""
        z = product(self.hidden[rows], self.weight[words], out)
        if self.bias is not None:
            z += self.bias[words].to(z)
        if self.cap is not None:
            return z.mul_(self.scale / self.cap).tanh_().mul_(self.cap * self.factor / t)
        return z if self.scale * self.factor == t else z.mul_(self.scale * self.factor / t)


@dataclass(frozen=True)
class Lazy:
    """Logits [..., V] as the sum of what its heads give, so that they can be added and multiplied by numbers without being made.

    size: V, the words that count; a head may be padded to more rows, which are no words. asked: which places are, bool [...], or with
    what weight, float [...] (0 = not asked); None = all of them, alike. Two answers are compared at the places each was asked for, in order.
    """

    heads: tuple[Head, ...]
    size: int
    asked: Tensor | None = None

    def __post_init__(self) -> None:
        if not self.heads:
            raise refuse("lazy.heads", (), "one head or more")
        for head in self.heads:
            if len(head.weight) < self.size:
                raise refuse(
                    "lazy.size",
                    self.size,
                    f"at most the {len(head.weight)} rows of the head",
                    "is it the tokenizer of this model?",
                )
            if head.hidden.shape[:-1] != self.hidden.shape[:-1] or head.hidden.shape[-1] != head.weight.shape[-1]:
                raise refuse("lazy.hidden", list(head.hidden.shape), f"{[*self.hidden.shape[:-1], head.weight.shape[-1]]}")
        if self.asked is not None and self.asked.shape != self.hidden.shape[:-1]:
            raise refuse("lazy.asked", list(self.asked.shape), f"one a place, {list(self.hidden.shape[:-1])}")

    @property
    def hidden(self) -> Tensor:
        return self.heads[0].hidden

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the logits."""
        return (*self.hidden.shape[:-1], self.size)

    @property
    def device(self) -> torch.device:
        return self.hidden.device

    @property
    def requires_grad(self) -> bool:
        return any(t.requires_grad for h in self.heads for t in (h.hidden, h.weight, h.bias) if t is not None)

    def __len__(self) -> int:
        return len(self.hidden)

    def __add__(self, other: Lazy) -> Lazy:
        if self.size != other.size:
            raise refuse("lazy.size", other.size, f"the same vocabulary, {self.size}")
        return replace(self, heads=self.heads + other.heads)

    def __mul__(self, factor: float) -> Lazy:
        return replace(self, heads=tuple(replace(h, factor=h.factor * float(factor)) for h in self.heads))

    __rmul__ = __mul__

    def each(self, f: Callable[[Tensor], Tensor]) -> Lazy:
        """f over the hidden states."""
        return replace(self, heads=tuple(replace(h, hidden=f(h.hidden)) for h in self.heads))

    def detach(self) -> Lazy:
        """The same answer, which no gradient enters."""
        return replace(
            self,
            heads=tuple(
                replace(h, hidden=h.hidden.detach(), weight=h.weight.detach(), bias=h.bias if h.bias is None else h.bias.detach())
                for h in self.heads
            ),
        )

    def at(self, asked: Tensor | None) -> Lazy:
        """The same answer, asked at other places."""
        return replace(self, asked=asked)

    def rows(self) -> Lazy:
        """The places that are asked for, one a row [T, V], with their weights, if they have some."""
        if self.asked is None:
            return self.each(lambda t: t.flatten(0, -2))
        pick = (self.asked.flatten() > 0).nonzero().squeeze(1)
        weights = self.asked.flatten()[pick] if self.asked.is_floating_point() else None
        heads = tuple(replace(h, hidden=h.hidden.flatten(0, -2).index_select(0, pick)) for h in self.heads)
        return Lazy(heads, self.size, weights)

    @torch.no_grad()
    def argmax(self, chunk: int = 128) -> Tensor:
        """The likeliest word at every place, asked for or not, so many places at a time; -> [...]"""
        flat = self.at(None).rows()
        best = [flat.each(lambda h, i=i: h[i : i + chunk]).dense().argmax(-1) for i in range(0, len(flat), chunk)]  # type: ignore[misc]
        return torch.cat(best).view(self.shape[:-1])

    def dense(self) -> Tensor:
        """The logits after all, [..., V], differentiable: for small vocabularies and for what reads every one of them."""
        total: Any = 0
        for h in self.heads:
            z = wide(h.hidden) @ wide(h.weight[: self.size]).mT
            z = z if h.bias is None else z + wide(h.bias[: self.size])
            z = h.scale * z if h.cap is None else h.cap * (h.scale * z / h.cap).tanh()
            total = total + h.factor * z
        assert isinstance(total, Tensor)
        return total


@dataclass(frozen=True)
class TopK:
    """A teacher's likeliest words at each of T places: ids [T, k] (-1 = fewer than k), their log-probabilities under the whole
    vocabulary logp [T, k]; the rest of the mass is the tail's. t: the temperature it was asked at. size: of the vocabulary, where known."""

    ids: Tensor
    logp: Tensor
    t: float = 1.0
    size: int = 0

    def dense(self) -> Tensor:
        """Logits, t log p, with the tail's mass shared out evenly; -> [T, V]"""
        there = self.ids >= 0
        p = self.logp.exp().masked_fill(~there, 0)
        others = (self.size - there.sum(1)).clamp(min=1)
        rest = (1 - p.sum(1)).clamp(min=torch.finfo(p.dtype).tiny) / others
        whole = rest[:, None].expand(-1, self.size + 1).scatter(1, self.ids.masked_fill(~there, self.size), p)
        return self.t * whole[:, : self.size].log()

    def __getattr__(self, name: str) -> Any:
        raise _not_logits(self, name)


@dataclass(frozen=True)
class Samples:
    """Words drawn from what a teacher said at each of T places: ids [T, n] (-1 = fewer than n, a word may come twice) and weights
    [T, n] whose sum over a word is, on average, its probability. entropy [T] of what was said, in nats, makes a cross-entropy a
    divergence; t: the temperature it was asked at; size: of the vocabulary, where known."""

    ids: Tensor
    weights: Tensor
    entropy: Tensor | None = None
    t: float = 1.0
    size: int = 0

    def dense(self) -> Tensor:
        """Logits, t log of the words' shares, -inf for words that weren't drawn; -> [T, V]"""
        shares = self.weights.new_zeros(len(self.ids), self.size + 1)
        shares.scatter_add_(1, self.ids.masked_fill(self.ids < 0, self.size), self.weights)
        return self.t * shares[:, : self.size].log()

    def __getattr__(self, name: str) -> Any:
        raise _not_logits(self, name)


class NotLogits(Refused, AttributeError):
    """A method asked a stored answer for what only logits have."""


def _not_logits(said: TopK | Samples, name: str) -> NotLogits:
    kept = {TopK: "a teacher's likeliest words", Samples: "words drawn from a teacher"}[type(said)]
    return NotLogits(f"signal={kept!r} is not allowed: logits, since the loss asks for '{name}'; label with --dense float32, or use a method whose loss is a "
                     "divergence of whole distributions, such as kd")  # fmt: skip


Answer = Tensor | Lazy | TopK | Samples


def wide(x: Tensor) -> Tensor:
    """float16 and bfloat16 as float32; others as they are."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


# A processor with tiles multiplies bfloat16 with sums in float32, where float32 is asked for and rounding is allowed.
TILES = torch.backends.mkldnn.is_available() and torch.cpu._is_amx_tile_supported()  # type: ignore[no-untyped-call]
# Elsewhere `mm` is MKL's, which is half as fast on processors that aren't Intel's as what torch has beside it.
ONEDNN = not TILES and torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")  # type: ignore[no-untyped-call]


def product(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """a b^T, summed and left in float32 or wider, in `out` if that is given; [..., K], [N, K] -> [..., N]"""
    if out is None:
        out = a.new_empty(*a.shape[:-1], len(b), dtype=wide(a).dtype)
        product(a.flatten(0, -2), b, out.view(-1, len(b)))
        return out
    if a.dtype == torch.bfloat16 and b.dtype == torch.float32:
        add_product(out.mT, pieces(b, a), a, 0)
        return out
    return add_product(out, pieces(a, b), b, 0)


def pieces(a: Tensor, b: Tensor) -> tuple[Tensor, ...]:
    """What sums to a, to be multiplied by b: where b is in bfloat16 and there are tiles, or tensor cores, that round float32 to it, what
    rounding leaves out is a second piece, and the sum is good to one part in 2^16."""
    cuda = a.device.type == "cuda"
    if (a.dtype, b.dtype) != (torch.float32, torch.bfloat16) or not (cuda or (a.device.type == "cpu" and TILES)):
        return (a,)
    high = a.bfloat16()
    return high if cuda else high.float(), (a - high).bfloat16()


def add_product(to: Tensor, a: tuple[Tensor, ...], b: Tensor, times: int = 1) -> Tensor:
    """`times` (0 or 1) `to` and the sum of a's pieces times b^T, in to's place."""
    first, cpu = a[0], b.device.type == "cpu"
    if b.device.type == "cuda" and first.dtype == b.dtype and b.dtype in (torch.float16, torch.bfloat16):
        part = torch.mm(first, b.mT, out_dtype=torch.float32)
        to = to.add_(part) if times else to.copy_(part)
    else:
        x, y = wide(first), wide(b)
        if ONEDNN and cpu and x.dtype == y.dtype == torch.float32:
            part = torch.ops.mkldnn._linear_pointwise(x, y, None, "none", [], "")
            to = to.add_(part) if times else to.copy_(part)
        else:
            with rounded(TILES and cpu and b.dtype == torch.bfloat16 and first.dtype in (torch.bfloat16, torch.float32)):
                to.addmm_(x, y.mT, beta=times)
    for piece in a[1:]:  # so small that its product may be rounded
        to += piece @ b.mT
    return to


@contextmanager
def rounded(inside: bool) -> Iterator[None]:
    """Products of float32 on a processor's tiles, of operands rounded to bfloat16: exact where that is what they are."""
    how = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = how.fp32_precision
    if inside:
        how.fp32_precision = "bf16"
    try:
        yield
    finally:
        if inside:
            how.fp32_precision = before
