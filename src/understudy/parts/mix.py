"""Two rows in one: blended, or a part of one pasted into the other; labels [N, C] likewise, with the same share."""

from __future__ import annotations

import torch
from torch import Tensor


def shares(n: int, alpha: float, device: torch.device | None = None, *, own: bool = True) -> Tensor:
    """How much of itself each of n rows keeps: Beta(alpha, alpha), from torch's own stream, 1 where alpha is 0; own: the larger
    part, so that a mixture is nearer to its own row than to the other (MixMatch, Berthelot et al. 2019, eq. 9); -> [n] in [0,
    1]"""
    if alpha == 0:
        return torch.ones(n, device=device)
    both = torch.full((), float(alpha), dtype=torch.double)  # in float32 a small alpha rounds to shares of 0 and 0
    share = torch.distributions.Beta(both, both).sample((n,)).to(torch.get_default_dtype()).to(device)
    return torch.maximum(share, 1 - share) if own else share


def blended(one: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """share one + (1 - share) other, mixup of rows and of soft labels (Zhang et al. 2018); [N, ...] twice, [N] -> [N, ...]"""
    share = share.to(one).view(-1, *(1 for _ in one.shape[1:]))
    return share * one + (1 - share) * other


def mixed_up(rows: tuple[Tensor, ...], alpha: float) -> tuple[Tensor, ...]:
    """Rows and whatever belongs to them, each mixed with that of another row (a permutation) by one share (`shares`, own).
    alpha = 0 leaves them as they are and draws nothing; tensors [N, ...] -> as many"""
    if alpha == 0:
        return rows
    n, device = len(rows[0]), rows[0].device
    share, other = shares(n, alpha, device), torch.randperm(n, device=device)
    return tuple(blended(a, a[other], share) for a in rows)


def window(height: int, width: int, share: float, device: torch.device | None = None) -> Tensor:
    """A mask that is False inside a rectangle of `share` of each side (rounded down), anywhere, and True around it: M of BCP
    (Bai et al. 2023, eq. 1); from torch's own stream; -> [H, W]"""
    h, w = int(height * share), int(width * share)
    top, left = (int(torch.randint(0, n + 1, ())) for n in (height - h, width - w))
    mask = torch.ones(height, width, dtype=torch.bool, device=device)
    mask[top : top + h, left : left + w] = False
    return mask


def cut(height: int, width: int, share: Tensor) -> tuple[Tensor, Tensor]:
    """CutMix's masks (Yun et al. 2019): False inside a rectangle of sqrt(1 - share) of each side about a place drawn from
    torch's own stream, as far as it lies within the picture, and what share is really left; share [N] -> [N, H, W] bool, [N]"""
    n, half = len(share), (1 - share).clamp(min=0).sqrt() / 2
    inside = torch.ones(n, height, width, dtype=torch.bool, device=share.device)
    for side, view in ((height, (n, height, 1)), (width, (n, 1, width))):
        middle, reach = torch.rand(n, 1, device=share.device) * side, (side * half)[:, None]
        place = torch.arange(side, device=share.device) + 0.5
        inside &= ((place - middle).abs() < reach).view(view)
    return ~inside, (~inside).flatten(1).to(share).mean(1)


def class_mask(y: Tensor, classes: int) -> Tensor:
    """ClassMix's masks (Olsson et al. 2021): True where a map of labels has one of half of its own classes (rounded up), drawn
    from torch's own stream; hidden places (-1) have none; [N, H, W] of -1 .. classes-1 -> [N, H, W] bool"""
    own = (y[:, None] == torch.arange(classes, device=y.device).view(-1, 1, 1)).flatten(2).any(-1)
    place = (
        torch.rand(own.shape, device=y.device).masked_fill(~own, 2.0).argsort(1).argsort(1)
    )  # own classes first, in a random order
    chosen = own & (place < (own.sum(1, keepdim=True) + 1) // 2)
    return chosen.gather(1, y.clamp(min=0).flatten(1)).view(y.shape) & (y >= 0)


def paste(around: Tensor, inside: Tensor, mask: Tensor) -> Tensor:
    """around . M + inside . (1 - M), of pictures and of labels alike; [N, ..., H, W] twice, a mask for all [H, W] or one a row
    [N, H, W] -> [N, ..., H, W]"""
    if mask.dim() == 3:
        mask = mask.view(len(mask), *(1 for _ in around.shape[1:-2]), *mask.shape[1:])
    return torch.where(mask, around, inside)
