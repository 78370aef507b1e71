"""Joints as points and as heatmaps. Points are (x, y) in [-1, 1], from edge to edge of a square picture; NaN is hidden."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from understudy.parts.divergence import wide


def cells(side: int, like: Tensor) -> Tensor:
    """The middles of a row's cells; -> [side]"""
    return (2 * torch.arange(side, device=like.device, dtype=like.dtype) + 1) / side - 1


def heatmaps(joints: Tensor, side: int, sigma: float = 1.0) -> Tensor:
    """A Gaussian bump around each joint, 1 at its middle, sigma in cells; 0 everywhere for a hidden one (Tompson et al. 2014);
    [N, K, 2] -> [N, K, side, side]"""
    away = (joints[..., None] - cells(side, joints)) * side / 2
    bump = torch.exp(-away.square() / (2 * sigma**2))
    return (bump[:, :, 1, :, None] * bump[:, :, 0, None, :]).nan_to_num()


def peaks(heat: Tensor) -> tuple[Tensor, Tensor]:
    """The highest cell of each heatmap, moved to the middle of what is above 0 among its neighbours, and how high it is;
    [N, K, H, W] -> [N, K, 2], [N, K]"""
    heat = wide(heat)
    h, w = heat.shape[-2:]
    top, place = heat.flatten(2).max(-1)
    row, column = place // w, place % w
    near = torch.arange(3, device=heat.device) - 1
    above = F.pad(heat.clamp(min=0), (1, 1, 1, 1)).flatten(2)
    around = ((row[..., None] + near + 1)[..., :, None] * (w + 2) + (column[..., None] + near + 1)[..., None, :]).flatten(2)
    weight = above.gather(2, around).view(*top.shape, 3, 3)
    total = weight.sum((2, 3)).clamp(min=1e-12)
    near = near.to(heat)
    x = column + (weight.sum(2) * near).sum(-1) / total
    y = row + (weight.sum(3) * near).sum(-1) / total
    return torch.stack([(2 * x + 1) / w - 1, (2 * y + 1) / h - 1], -1), top


def expected(heat: Tensor, t: float = 0.05) -> Tensor:
    """The mean place under softmax(heat / t), through which a gradient flows (soft-argmax); [N, K, H, W] -> [N, K, 2]"""
    h, w = heat.shape[-2:]
    p = (wide(heat) / t).flatten(2).softmax(-1).view(heat.shape)
    return torch.stack([(p.sum(2) * cells(w, p)).sum(-1), (p.sum(3) * cells(h, p)).sum(-1)], -1)


def distance(out: Tensor, target: Tensor) -> Tensor:
    """Half the squared differences of two heatmaps, summed over cells; [N, K, H, W] twice -> [N, K]"""
    return (wide(out) - wide(target)).square().sum((2, 3)) / 2


def apart(out: Tensor, target: Tensor, where: Tensor) -> Tensor:
    """The same, mean over the joints of `where`, 0 where there are none; [N, K, H, W] twice, [N, K] bool -> []"""
    return (distance(out, target) * where).sum() / where.sum().clamp(min=1)


def bones(joints: Tensor, parents: Tensor) -> Tensor:
    """The direction in which each joint but the first lies from its parent; [N, K, 2], parents [K - 1] of the joints 1 ... K - 1 ->
    unit vectors [N, K - 1, 2]"""
    way = joints[:, 1:] - joints[:, parents]
    unit: Tensor = way / way.norm(dim=-1, keepdim=True).clamp(min=1e-3)
    return unit


def found(said: Tensor, true: Tensor, share: float = 0.1) -> Tensor:
    """Whether each joint is within that share of a picture's side of where it is, False for hidden ones (PCK, Yang and Ramanan 2013);
    [N, K, 2] twice -> [N, K] bool"""
    near: Tensor = (said - true).norm(dim=-1) <= 2 * share
    return near


def keypoint_mix(x: Tensor, joints: Tensor, share: float, size: float) -> Tensor:
    """Each joint, with probability `share`, has the patch around it blended with the patch around another joint of its figure, by an even
    share; where patches overlap, the nearest joint's counts (Keypoint-Mix, Yun et al. 2025). size: of a patch, in sides of the picture;
    from torch's own stream; [N, C, S, S], [N, K, 2] -> [N, C, S, S]"""
    n, k, _ = joints.shape
    chosen, own = (torch.rand(2, n, k, device=x.device, dtype=x.dtype)).unbind()
    other = (torch.arange(k, device=x.device) + torch.randint(1, max(k, 2), (n, k), device=x.device)) % k
    to = joints.gather(1, other[..., None].expand(-1, -1, 2)) - joints
    place = torch.stack(torch.meshgrid(*(cells(x.shape[-1], x),) * 2, indexing="xy"), -1)
    away = (place - joints[:, :, None, None]).abs().amax(-1)  # in a square
    away = away.masked_fill((chosen >= share)[..., None, None], torch.inf)
    near, nearest = away.min(1)
    pick = nearest.flatten(1)
    shift = to.gather(1, pick[..., None].expand(-1, -1, 2)).view(*nearest.shape, 2)
    own = own.gather(1, pick).view(n, 1, *nearest.shape[1:])
    return torch.where((near <= size)[:, None], own * x + (1 - own) * _shifted(x, shift), x)


def keypoint_cut(x: Tensor, joint: Tensor, where: Tensor, size: float) -> Tensor:
    """In the rows of `where` the patch around a joint is covered by one from anywhere in the picture (Raychaudhuri et al. 2023); size: of
    a patch, in sides of the picture; from torch's own stream; [N, C, S, S], [N, 2], [N] bool -> [N, C, S, S]"""
    place = torch.stack(torch.meshgrid(*(cells(x.shape[-1], x),) * 2, indexing="xy"), -1)
    inside = (place - joint[:, None, None]).abs().amax(-1) <= size
    shift = 2 * torch.rand_like(joint) - 1 - joint
    there = _shifted(x, shift[:, None, None].expand(-1, *inside.shape[1:], -1))
    return torch.where((inside & where[:, None, None])[:, None], there, x)


def _shifted(x: Tensor, shift: Tensor) -> Tensor:
    """What lies so far from each pixel, the edge repeated outside; [N, C, S, S], [N, S, S, 2] -> [N, C, S, S]"""
    place = torch.stack(torch.meshgrid(*(cells(x.shape[-1], x),) * 2, indexing="xy"), -1)
    return F.grid_sample(x, (place + shift).to(x), padding_mode="border", align_corners=False)
