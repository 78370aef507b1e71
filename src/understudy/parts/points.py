"""Points [N, P, 3] of flat scenes as (x, y, there): x and y in units of the scene's side, there 1 or 0. Chance comes from torch's
own stream. Views are those of `parts.boxes.carried`."""

from __future__ import annotations

import torch
from torch import Tensor

from understudy.parts.views import drawn


def moved(points: Tensor, view: Tensor) -> Tensor:
    """Points where the view shows them; [N, P, 3], [N, 4] -> [N, P, 3]"""
    return torch.cat([points[..., :2] * view[:, None, :2] + view[:, None, 2:], points[..., 2:]], -1)


def turned(points: Tensor, zoom: float = 0.1, shift: float = 0.05, mirror: float = 0.5) -> tuple[Tensor, Tensor]:
    """The scene a little larger or smaller, a little aside, mirrored left to right with that probability; [N, P, 3] ->
    [N, P, 3], view [N, 4]"""
    view = drawn(points.new_empty(len(points), 1, 1, 1), zoom, shift, mirror)
    return moved(points, view), view


def without(points: Tensor, gone: Tensor) -> Tensor:
    """The points less some of them; [N, P, 3], gone [N, P] bool -> [N, P, 3]"""
    return torch.cat([points[..., :2], points[..., 2:] * ~gone[..., None]], -1)


def thinned_out(points: Tensor, share: float) -> Tensor:
    """About that share of the points is gone; [N, P, 3] -> [N, P, 3]"""
    return without(points, torch.rand(points.shape[:2], device=points.device) < share)


def inside(points: Tensor, boxes: Tensor, which: Tensor) -> Tensor:
    """Points that lie in one of some boxes; [N, P, 3], [N, A, 4], which [N, A] bool -> [N, P] bool"""
    at, low, high = points[:, :, None, :2], boxes[:, None, :, :2], boxes[:, None, :, 2:]
    return (((at >= low) & (at <= high)).all(-1) & which[:, None]).any(-1)


def orders(which: Tensor) -> Tensor:
    """The places that a scene's four quarters go to, all orders alike likely; where `which` isn't true all stay; [N] bool -> [N, 4]"""
    order = torch.rand(len(which), 4, device=which.device).argsort(1)
    return order.where(which[:, None], torch.arange(4, device=which.device))


def shuffled(points: Tensor, order: Tensor) -> Tensor:
    """Quarter q (left and right above, left and right below) is moved to the place of quarter order[q]; what lies outside the scene
    is gone. Patch shuffling, Liu et al. 2023; [N, P, 3], [N, 4] -> [N, P, 3]"""
    outside = ((points[..., :2] < 0) | (points[..., :2] >= 1)).any(-1)
    right, below = ((points[..., i] >= 0.5).long() for i in (0, 1))
    to = order.gather(1, 2 * below + right)
    shift = torch.stack([to % 2 - right, to // 2 - below], -1) / 2
    return without(torch.cat([points[..., :2] + shift.to(points), points[..., 2:]], -1), outside)


def put_back(features: Tensor, order: Tensor) -> Tensor:
    """A map of a shuffled scene whose quarters are where they were before; [N, C, h, w] with even h and w, [N, 4] -> the same"""
    n, c, h, w = features.shape
    quarters = features.view(n, c, 2, h // 2, 2, w // 2).permute(0, 2, 4, 1, 3, 5).reshape(n, 4, c, h // 2, w // 2)
    quarters = quarters.gather(1, order[:, :, None, None, None].expand_as(quarters))
    return quarters.view(n, 2, 2, c, h // 2, w // 2).permute(0, 3, 1, 4, 2, 5).reshape(n, c, h, w)


def rasterised(points: Tensor, side: int) -> Tensor:
    """What a grid's cells hold: log(1 + number of points), and their mean place in the cell, from -1/2 to 1/2 (0 where there are
    none), as in the pillars of Lang et al. 2019; [N, P, 3] -> [N, 3, side, side]"""
    place = points[..., :2] * side
    cell = place.floor()
    within = (points[..., 2] > 0) & (cell >= 0).all(-1) & (cell < side).all(-1)
    index = torch.where(within, cell[..., 1] * side + cell[..., 0], 0).long()
    held = torch.cat([torch.ones_like(place[..., :1]), place - cell - 0.5], -1) * within[..., None]
    sums = points.new_zeros(len(points), side * side, 3).scatter_add(1, index[..., None].expand_as(held), held)
    count = sums[..., :1]
    cells = torch.cat([count.log1p(), sums[..., 1:] / count.clamp(min=1)], -1).transpose(1, 2)
    return cells.reshape(len(points), 3, side, side)
