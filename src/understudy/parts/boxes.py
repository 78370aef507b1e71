"""Boxes [..., 4] as (left, top, right, bottom) in pixels: how they overlap, are described by others, are moved and thinned out."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from understudy.parts.divergence import wide

MOST = math.log(1000 / 16)  # a box grows by at most this, as a logarithm (Faster R-CNN's own limit)


def size(boxes: Tensor, least: float = 0.0) -> Tensor:
    """Width and height, at least `least`; [..., 4] -> [..., 2]"""
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=least)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Area of the intersection over that of the union, 0 of empty boxes; [..., A, 4], [..., B, 4] -> [..., A, B]"""
    low, high = torch.maximum(a[..., :, None, :2], b[..., None, :, :2]), torch.minimum(a[..., :, None, 2:], b[..., None, :, 2:])
    both = (high - low).clamp(min=0).prod(-1)
    one, other = size(a).prod(-1), size(b).prod(-1)
    return both / (one[..., :, None] + other[..., None, :] - both).clamp(min=1e-9)


def encode(boxes: Tensor, rois: Tensor) -> Tensor:
    """Boxes as seen from others: shift of the centre in units of the other's size, logarithm of the ratio of sizes
    (Girshick et al. 2014); [..., 4] twice -> [..., 4]"""
    own, base = size(boxes, 1e-3), size(rois, 1e-3)
    shift = (boxes[..., :2] + boxes[..., 2:] - rois[..., :2] - rois[..., 2:]) / 2
    return torch.cat([shift / base, (own / base).log()], -1)


def decode(offsets: Tensor, rois: Tensor) -> Tensor:
    """The box that `encode` described; [..., 4] twice -> [..., 4]"""
    base = size(rois, 1e-3)
    centre = (rois[..., :2] + rois[..., 2:]) / 2 + offsets[..., :2] * base
    half = base * offsets[..., 2:].clamp(max=MOST).exp() / 2
    return torch.cat([centre - half, centre + half], -1)


def assign(rois: Tensor, boxes: Tensor, labels: Tensor, none: int, least: float = 0.5) -> tuple[Tensor, Tensor]:
    """The object that each candidate stands for: the one it overlaps most, if by `least`, and every object's own best candidate
    (Ren et al. 2015). Objects whose label isn't one of 0 .. none-1 are no objects.

    [N, A, 4], [N, M, 4], [N, M] -> labels [N, A] (`none` where it stands for nothing), boxes [N, A, 4]
    """
    there = (labels >= 0) & (labels < none)
    overlap = iou(rois, boxes.nan_to_num()) * there[:, None]
    most, whose = overlap.max(2)
    best = (overlap == overlap.amax(1, keepdim=True)) & (overlap > 0)
    whose = torch.where(best.any(2), best.to(torch.uint8).argmax(2), whose)
    stands = (most >= least) | best.any(2)
    return labels.gather(1, whose).where(stands, none), boxes.nan_to_num().gather(1, whose[..., None].expand(-1, -1, 4))


def candidate_losses(
    out: dict[str, Tensor], labels: Tensor, weight: Tensor, boxes: Tensor, located: Tensor
) -> tuple[Tensor, Tensor]:
    """Of each picture's candidates, the weighted mean of their classes' cross-entropy, and the mean over the located ones of their
    offsets' smooth L1, summed over sides.

    labels [N, A], C for background; weight [N, A] of a candidate's class; boxes [N, A, 4] where the located [N, A] ought to be;
    out: logits [N, A, C+1], offsets and rois [N, A, 4] -> [N], [N]
    """
    wrong = F.cross_entropy(wide(out["logits"]).flatten(0, 1), labels.flatten(), reduction="none").view_as(labels)
    classes = (wrong * weight).sum(1) / weight.sum(1).clamp(min=1e-6)
    apart = F.smooth_l1_loss(wide(out["offsets"]), encode(boxes, wide(out["rois"])), reduction="none", beta=1 / 9).sum(-1)
    return classes, (apart * located).sum(1) / located.sum(1).clamp(min=1)


def balanced(front: Tensor) -> Tensor:
    """Weights by which objects and background count alike in a picture; front [N, A]: who stands for an object -> [N, A]"""
    objects = front.sum(1, keepdim=True)
    return torch.where(front, 1 / objects.clamp(min=1), 1 / (front.shape[1] - objects).clamp(min=1))


def thinned(boxes: Tensor, scores: Tensor, most: int, overlap: float = 0.5) -> tuple[Tensor, Tensor]:
    """Greedy suppression: the best is kept, who overlaps it by more than `overlap` goes, and so on up to `most`.

    [N, A, 4], [N, A] -> index of the kept [N, most], their scores [N, most], 0 where there are no more
    """
    left, kept, theirs = scores.clone(), [], []
    for _ in range(most):
        score, best = left.max(1)
        kept.append(best)
        theirs.append(score.clamp(min=0))
        near = iou(boxes.gather(1, best[:, None, None].expand(-1, 1, 4)), boxes)[:, 0] > overlap
        left = left.masked_fill(near, -1).scatter(1, best[:, None], -1)
    return torch.stack(kept, 1), torch.stack(theirs, 1)


def jittered(boxes: Tensor, times: int, share: float) -> Tensor:
    """Copies whose four sides move by up to `share` of the box's width or height, evenly; from torch's own stream;
    [N, M, 4] -> [N, times, M, 4]"""
    noise = 2 * torch.rand(len(boxes), times, *boxes.shape[1:], dtype=boxes.dtype, device=boxes.device) - 1
    return boxes[:, None] + share * size(boxes, 1.0).repeat(1, 1, 2)[:, None] * noise


def spread(boxes: Tensor) -> Tensor:
    """How unsure a place is: the standard deviation of a box's four sides over its copies, in units of the mean of its width and
    height, mean over sides (Xu et al. 2021, eq. 9-10); [N, times, M, 4] -> [N, M]"""
    centred = boxes - boxes.mean(1, keepdim=True)
    deviation = (centred.square().sum(1) / max(boxes.shape[1] - 1, 1)).sqrt()
    return deviation.mean(-1) / size(boxes.mean(1), 1e-3).mean(-1).clamp(min=1.0)


def carried(boxes: Tensor, view: Tensor) -> Tensor:
    """Boxes where a view of their picture shows them: (x, y) -> (scale_x x + shift_x, scale_y y + shift_y), a negative scale being a
    mirror; view [N, 4] as (scale_x, scale_y, shift_x, shift_y); [N, M, 4] -> [N, M, 4]"""
    scale, shift = view[:, None, :2], view[:, None, 2:]
    a, b = boxes[..., :2] * scale + shift, boxes[..., 2:] * scale + shift
    return torch.cat([torch.minimum(a, b), torch.maximum(a, b)], -1)


def inverse(view: Tensor) -> Tensor:
    """The way back; [N, 4] -> [N, 4]"""
    return torch.cat([1 / view[:, :2], -view[:, 2:] / view[:, :2]], -1)


def after(second: Tensor, first: Tensor) -> Tensor:
    """The view of a view; [N, 4] twice -> [N, 4]"""
    return torch.cat([second[:, :2] * first[:, :2], second[:, :2] * first[:, 2:] + second[:, 2:]], -1)


def pooled(features: Tensor, boxes: Tensor, stride: float, bins: int) -> Tensor:
    """Features read at the centres of bins x bins equal parts of each box, between four neighbours, 0 outside: RoIAlign with one
    sample a bin (He et al. 2017); stride: pixels a cell; [N, C, h, w], [N, A, 4] -> [N, A, C * bins^2]"""
    features = wide(features)
    part = (torch.arange(bins, device=boxes.device, dtype=boxes.dtype) + 0.5) / bins
    x, y = (boxes[..., i, None] + part * size(boxes)[..., i, None] for i in (0, 1))
    grid = torch.stack(
        [x[..., None, :].expand(*x.shape, bins), y[..., :, None].expand(*y.shape, bins)], -1
    )  # [N, A, bins, bins, 2]
    extent = stride * torch.tensor([features.shape[-1], features.shape[-2]], device=boxes.device, dtype=boxes.dtype)
    grid = (2 * grid / extent - 1).clamp(-1e4, 1e4).flatten(2, 3).to(features)
    found = F.grid_sample(features, grid, align_corners=False)  # [N, C, A, bins^2]
    return found.transpose(1, 2).flatten(2)


def found(out: dict[str, Tensor], most: int, overlap: float = 0.5) -> dict[str, Tensor]:
    """A detector's answer without duplicates, surest first: boxes [N, most, 4], labels [N, most] (C where there are no more), scores
    [N, most] (the softmax's of its likeliest class). Candidates suppress one another whatever their classes.

    out: logits [N, A, C+1], the last for background, offsets and rois [N, A, 4]
    """
    scores, labels = wide(out["logits"]).softmax(-1)[..., :-1].max(-1)
    boxes = decode(wide(out["offsets"]), wide(out["rois"]))
    index, scores = thinned(boxes, scores, most, overlap)
    labels = labels.gather(1, index).where(scores > 0, out["logits"].shape[-1] - 1)
    return {"boxes": boxes.gather(1, index[..., None].expand(-1, -1, 4)), "labels": labels, "scores": scores}


def grown(boxes: Tensor, share: float) -> Tensor:
    """Larger by that share of width and height, about their middle; [..., 4] -> [..., 4]"""
    more = share / 2 * size(boxes)
    return boxes + torch.cat([-more, more], -1)
