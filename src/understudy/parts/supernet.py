"""Transformers of many sizes in one set of weights, and the one that is taken out of them.

A smaller network is the first rows and columns of every matrix and some of the blocks, the last one always among them: so what
`stage:-1` names is read at any depth.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from understudy.core.errors import refuse
from understudy.core.seeds import stream

C = TypeVar("C", int, float)


class Size(NamedTuple):
    """One network: blocks, width of the stream, heads of each block, width of the feed-forward layer over that of the stream."""

    depth: int
    width: int
    heads: int
    ratio: float

    @property
    def inner(self) -> int:
        return round(self.ratio * self.width)


class Space(NamedTuple):
    """The sizes to choose from, each list from small to large."""

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    heads: tuple[int, ...]
    ratios: tuple[float, ...]

    def sizes(self) -> list[Size]:
        """All of them, from the smallest to the largest in every dimension."""
        return [Size(*s) for s in itertools.product(*self)]

    @property
    def largest(self) -> Size:
        return Size(max(self.depths), max(self.widths), max(self.heads), max(self.ratios))

    @property
    def smallest(self) -> Size:
        return Size(min(self.depths), min(self.widths), min(self.heads), min(self.ratios))

    def parts(self, k: int) -> list[Space]:
        """k sub-spaces, small to large: of every list a k-th, in order; neighbours share a choice of a list that is shorter."""
        return [
            Space(_cut(self.depths, i, k), _cut(self.widths, i, k), _cut(self.heads, i, k), _cut(self.ratios, i, k))
            for i in range(k)
        ]


def _cut(choices: tuple[C, ...], i: int, k: int) -> tuple[C, ...]:
    n = len(choices)
    return choices[i * n // k : (i + 1) * n // k] or choices[i * n // k :][:1]


class Narrow(nn.Linear):
    """A linear layer of which the first columns, as many as x has, and the first `out` rows are used; [..., d] -> [..., out]"""

    def forward(self, x: Tensor, out: int | None = None) -> Tensor:
        return F.linear(x, self.weight[:out, : x.shape[-1]], self.bias[:out])


class Norm(nn.LayerNorm):
    """Layer normalisation over as many channels as there are."""

    def forward(self, x: Tensor) -> Tensor:
        d = x.shape[-1]
        return F.layer_norm(x, (d,), self.weight[:d], self.bias[:d], self.eps)


class Block(nn.Module):
    """Self-attention and a feed-forward layer, each behind a shortcut and a norm (BERT's order); [N, L, D] -> same"""

    def __init__(self, width: int, inner: int, across: int, head: int) -> None:
        super().__init__()
        self.head = head
        self.query, self.key, self.value = (Narrow(width, across) for _ in range(3))
        self.out, self.norm1 = Narrow(across, width), Norm(width)
        self.up, self.down, self.norm2 = Narrow(width, inner), Narrow(inner, width), Norm(width)

    def forward(self, x: Tensor, mask: Tensor, size: Size) -> Tensor:
        q, k, v = (f(x, size.heads * self.head).unflatten(-1, (size.heads, -1)).transpose(1, 2)
                   for f in (self.query, self.key, self.value))  # fmt: skip
        mixed = F.scaled_dot_product_attention(q, k, v, mask[:, None, None]).transpose(1, 2).flatten(2)
        x = self.norm1(x + self.out(mixed, size.width))
        y: Tensor = self.norm2(x + self.down(F.gelu(self.up(x, size.inner)), size.width))
        return y


class SuperNet(nn.Module):
    """An encoder with a masked-word head that is any of `space`; {input_ids, attention_mask} [N, L] -> [N, L, words]

    head: width of one. Asked without a size, it answers as its largest.
    """

    def __init__(self, space: Space, words: int, length: int, head: int = 8) -> None:
        super().__init__()
        self.space, self.shape, big = space, (words, length, head), space.largest
        self.word, self.place, self.norm = nn.Embedding(words, big.width), nn.Embedding(length, big.width), Norm(big.width)
        self.blocks = nn.ModuleList(Block(big.width, big.inner, big.heads * head, head) for _ in range(big.depth))
        self.head = Narrow(big.width, words)
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02)

    def forward(self, x: dict[str, Tensor], size: Size | None = None) -> Tensor:
        size = size or self.space.largest
        ids, mask = x["input_ids"], x["attention_mask"] > 0
        states = self.norm(self.word.weight[:, : size.width][ids] + self.place.weight[: ids.shape[1], : size.width])
        for i in kept(size.depth, len(self.blocks)):
            states = self.blocks[i](states, mask, size)
        out: Tensor = self.head(states)
        return out


def kept(depth: int, of: int) -> list[int]:
    """Which blocks a network of fewer has: evenly spread, the last one always."""
    return [math.ceil((i + 1) * of / depth) - 1 for i in range(depth)]


def count(net: SuperNet, size: Size) -> int:
    """Parameters of that size standing alone, without building it."""
    words, length, head = net.shape
    w, a, f = size.width, size.heads * head, size.inner
    block = 3 * (w + 1) * a + (a + 1) * w + (w + 1) * f + (f + 1) * w + 4 * w
    return (words + length + 2) * w + size.depth * block + (w + 1) * words


@torch.no_grad()
def extract(net: SuperNet, space: Space | Size) -> SuperNet:
    """A network of its own with the weights of one size, or of the largest of a sub-space (and all smaller ones inside)."""
    if isinstance(space, Size):
        space = Space((space.depth,), (space.width,), (space.heads,), (space.ratio,))
    if any(mine > whole for mine, whole in zip(space.largest, net.space.largest, strict=True)):
        raise refuse("size", tuple(space.largest), f"at most {tuple(net.space.largest)} (depth, width, heads, ratio)")
    with stream("extract"):  # its first weights are overwritten: they are no chance of the caller's
        made = SuperNet(space, *net.shape).to(net.head.weight)
    blocks = kept(space.largest.depth, len(net.blocks))
    for name, p in made.named_parameters():
        if name.startswith("blocks."):
            _, i, rest = name.split(".", 2)
            name = f"blocks.{blocks[int(i)]}.{rest}"
        p.copy_(net.get_parameter(name)[tuple(slice(n) for n in p.shape)])
    return made
