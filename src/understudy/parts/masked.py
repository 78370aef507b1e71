"""Patches of pictures and clips that are hidden and asked for, and vision transformers that read what is left.

A picture is [N, C, H, W], a clip [N, C, T, H, W]; patches are its pieces in rows, [N, L, D], on a grid of as many axes. hidden
[N, L] is True where a patch can't be seen, as often in every row, so that all rows can be read together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from understudy.core.errors import refuse
from understudy.models.tiny import TransformerBlock
from understudy.parts.divergence import wide

HEADS = 4  # of attention

# ------------------------------------------------------------------------------------------------------------ pieces and places


def patches(x: Tensor, size: Sequence[int]) -> Tensor:
    """Pieces of `size` in the order of the grid, a piece's values by channel, then by place; [N, C, *dims] -> [N, L, D]"""
    for axis, length in enumerate(size, 2):
        x = x.unfold(axis, length, length)
    return x.movedim(1, 1 + len(size)).flatten(1, len(size)).flatten(2)


def pieced(found: Tensor, grid: Sequence[int], size: Sequence[int]) -> Tensor:
    """Put together what `patches` took apart; [N, L, C prod(size)] -> [N, C, *dims]"""
    axes = len(grid)
    apart = found.view(len(found), *grid, -1, *size).movedim(1 + axes, 1)
    order = [0, 1, *(i for axis in range(axes) for i in (2 + axis, 2 + axes + axis))]
    return apart.permute(order).reshape(len(found), apart.shape[1], *(g * s for g, s in zip(grid, size, strict=True)))


def positions(grid: Sequence[int], width: int) -> Tensor:
    """Sines and cosines of each axis side by side, as many channels for each; those that are over are 0 (Vaswani et al. 2017);
    -> [L, width]"""
    waves = width // (2 * len(grid))
    if waves < 1 or width % HEADS:
        raise refuse("width", width, f"a multiple of {HEADS}, and {2 * len(grid)} or more for {len(grid)} axes")
    rate = 10000 ** (-torch.arange(waves, dtype=torch.get_default_dtype()) / waves)
    at = torch.cartesian_prod(*(torch.arange(g, dtype=rate.dtype) for g in grid)).view(-1, len(grid))
    angle = at[..., None] * rate
    return F.pad(torch.cat([angle.sin(), angle.cos()], -1).flatten(1), (0, width - 2 * waves * len(grid)))


# ------------------------------------------------------------------------------------------------------------------------ masks


def scattered(n: int, places: int, share: float, device: torch.device | None = None) -> Tensor:
    """That share of the patches of each row, anywhere; at least one, and not all (He et al. 2022); -> bool [n, places]"""
    most = min(max(round(share * places), 1), places - 1)
    return _first(torch.rand(n, places, device=device), most)


def multiblock(
    n: int, grid: Sequence[int], many: int, share: float, device: torch.device | None = None, *, longest: float = 1.5
) -> Tensor:
    """What `many` blocks cover, each of about that share of a frame, anywhere, and through all frames (Bardes et al. 2024).

    Blocks of a batch have one shape, with sides as `longest` : 1 at most. Rows hide as many patches: those with fewer hide some
    more, and one place stays to be seen at least. -> bool [n, L]
    """
    h, w = grid[-2:]
    stretch = math.exp((2 * torch.rand(()).item() - 1) * math.log(longest))
    covered = torch.ones((), dtype=torch.bool, device=device)
    for axis, (most, ratio) in enumerate(((h, stretch), (w, 1 / stretch))):
        length = min(max(round(math.sqrt(share * h * w * ratio)), 1), most)
        first = torch.randint(most - length + 1, (n, many, 1), device=device)
        place = torch.arange(most, device=device)
        covered = covered & ((place >= first) & (place < first + length)).unsqueeze(3 - axis)
    frame = covered.any(1).flatten(1)
    evened = _first(frame + torch.rand(frame.shape, device=device), min(int(frame.sum(1).max()), h * w - 1))
    return evened.repeat(1, math.prod(grid[:-2]))


def _first(order: Tensor, most: int) -> Tensor:
    """True at the `most` largest of each row; [N, L] -> bool [N, L]"""
    return torch.zeros_like(order, dtype=torch.bool).scatter(1, order.topk(most, 1).indices, True)


def seen(tokens: Tensor, hidden: Tensor) -> Tensor:
    """Those that aren't hidden; [N, L, D] -> [N, L', D]"""
    return tokens[~hidden].view(len(tokens), -1, tokens.shape[-1])


def restored(said: Tensor, x: Tensor, size: Sequence[int], hidden: Tensor, *, normal: bool = True) -> Tensor:
    """Squared distance of hidden patches from what was said of them, mean over values and hidden patches; said [N, L, D] -> [N]

    normal: of patches whose values have mean 0 and deviation 1 (He et al. 2022).
    """
    target = wide(patches(x, size))
    if normal:
        target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6).sqrt()
    return ((wide(said) - target).square().mean(-1) * hidden).sum(1) / hidden.sum(1)


# --------------------------------------------------------------------------------------------------------------------- networks


class Encoder(nn.Module):
    """A vision transformer that reads the patches that aren't hidden; x [N, *shape], hidden [N, L] or None -> [N, L', width]

    Places are told by fixed sines and cosines, times `loud`, which patches of few values need; there is no class token.
    """

    place: Tensor

    def __init__(self, shape: Sequence[int], patch: Sequence[int], width: int, depth: int, loud: float = 1.0) -> None:
        super().__init__()
        self.patch, self.width = tuple(patch), width
        self.grid = tuple(side // length for side, length in zip(shape[1:], patch, strict=True))
        self.embed = nn.Linear(shape[0] * math.prod(patch), width)
        self.register_buffer("place", loud * positions(self.grid, width))
        self.blocks = nn.ModuleList(TransformerBlock(width, HEADS) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, hidden: Tensor | None = None) -> Tensor:
        tokens = self.embed(patches(x, self.patch)) + self.place
        if hidden is not None:
            tokens = seen(tokens, hidden)
        for block in self.blocks:
            tokens = block(tokens)
        out: Tensor = self.norm(tokens)
        return out


class Decoder(nn.Module):
    """What was made of the visible patches in, something about every patch out; seen [N, L', reads], hidden [N, L] -> [N, L, out]

    A learned token stands where a patch is hidden. out: 0 for the last states as they are, [N, L, width].
    """

    place: Tensor

    def __init__(self, grid: Sequence[int], reads: int, width: int, depth: int, out: int = 0) -> None:
        super().__init__()
        self.grid, self.width = tuple(grid), width
        self.embed, self.blank = nn.Linear(reads, width), nn.Parameter(0.02 * torch.randn(width))
        self.register_buffer("place", positions(grid, width))
        self.blocks = nn.ModuleList(TransformerBlock(width, HEADS) for _ in range(depth))
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, out)) if out else nn.Identity()

    def forward(self, seen: Tensor, hidden: Tensor) -> Tensor:
        out: Tensor = self.out(self.states(seen, hidden))
        return out

    def states(self, seen: Tensor, hidden: Tensor, blocks: int | None = None) -> Tensor:
        """What is behind so many of its blocks, or all; [N, L, width]"""
        visible = self.embed(seen)
        blank = self.blank.to(visible).expand(*hidden.shape, -1)
        tokens = blank.masked_scatter(~hidden[..., None], visible) + self.place
        for block in self.blocks[:blocks]:
            tokens = block(tokens)
        return tokens


class Masked(nn.Module):
    """An encoder, with a decoder, a head, both or neither.

    Of whole rows: the head's answer to the mean of the tokens, [N, out], or the tokens, [N, L, D]. Of rows of which some patches
    are hidden: what the decoder says of all patches, [N, L, out], or the tokens of those that are seen.
    """

    def __init__(self, encoder: nn.Module, decoder: Decoder | None = None, head: nn.Module | None = None) -> None:
        super().__init__()
        self.encoder, self.decoder, self.head = encoder, decoder, head

    @property
    def grid(self) -> tuple[int, ...]:
        """How many patches there are along each axis."""
        return grid_of(self.encoder)

    @property
    def patch(self) -> tuple[int, ...]:
        """A patch's sides."""
        found: tuple[int, ...] = self.encoder.patch  # type: ignore[assignment]
        return found

    def forward(self, x: Tensor, hidden: Tensor | None = None) -> Tensor:
        tokens: Tensor = self.encoder(x, hidden)
        if hidden is None:
            return tokens if self.head is None else self.head(tokens.mean(1))  # type: ignore[no-any-return]
        return tokens if self.decoder is None else self.decoder(tokens, hidden)  # type: ignore[no-any-return]


class Restoring(nn.Module):
    """A masked autoencoder as it learns: how far it is from the patches that it had hidden from itself; x [N, *shape] -> [N]"""

    def __init__(self, net: Masked, share: float) -> None:
        super().__init__()
        self.net, self.share = net, share

    def forward(self, x: Tensor) -> Tensor:
        hidden = scattered(len(x), math.prod(self.net.grid), self.share, x.device)
        return restored(self.net(x, hidden), x, self.net.patch, hidden)


def grid_of(net: nn.Module) -> tuple[int, ...]:
    """How many patches a network reads along each axis. Raises `Refused` where it doesn't read patches."""
    grid = getattr(net, "grid", None)
    if grid is None:
        raise refuse("student", type(net).__name__, "a network that reads patches, with some of them hidden",
                     "the worlds 'patchwork' and 'footage' have such")  # fmt: skip
    found: tuple[int, ...] = grid
    return found
