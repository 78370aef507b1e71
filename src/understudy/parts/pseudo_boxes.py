"""What a teacher finds in one view of a picture, as labels for a student that sees another one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from understudy.parts.boxes import after, assign, balanced, candidate_losses, carried, decode, found, inverse, iou
from understudy.parts.divergence import wide
from understudy.parts.views import strong, weak


def two_views(x: Tensor) -> dict[str, Tensor]:
    """A weak view, a strong one, the way into the first and from there into the second (as `parts.boxes.carried` takes it);
    [N, C, H, W] -> weak, strong [N, C, H, W], here, way [N, 4]"""
    (seen, here), (shown, there) = weak(x), strong(x)
    return {"weak": seen, "strong": shown, "here": here, "way": after(there, inverse(here))}


def told(boxes: Tensor, way: Tensor, x: Tensor) -> Tensor:
    """Boxes where the other view x shows them, cut off at its edges; [N, M, 4], [N, 4], [N, C, H, W] -> [N, M, 4]"""
    side = torch.tensor([x.shape[-1], x.shape[-2]] * 2, device=x.device, dtype=x.dtype)
    return carried(boxes, way).clamp(min=0).minimum(side)


def learned(out: dict[str, Tensor], boxes: Tensor, labels: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of a detector, classes and places, if the kept objects and no others were there; objects and background of a picture
    count alike, as where labels are true.

    boxes [N, M, 4], labels [N, M], kept [N, M] bool; out: logits [N, A, C+1], offsets and rois [N, A, 4] -> [N], [N]
    """
    none = out["logits"].shape[-1] - 1
    classes, places = assign(out["rois"].detach(), boxes, labels.where(kept, none), none)
    front = classes < none
    return candidate_losses(out, classes, balanced(front), places, front)


def weighted(out: dict[str, Tensor], boxes: Tensor, labels: Tensor, w: Tensor, ground: float = 1.0) -> tuple[Tensor, Tensor]:
    """The same where each object counts with a weight of its own, and not at all with 0; background counts `ground` times.

    boxes [N, M, 4], labels and w [N, M]; out: logits [N, A, C+1], offsets and rois [N, A, 4] -> [N], [N]
    """
    none, m = out["logits"].shape[-1] - 1, w.shape[1]
    number = torch.arange(m, device=w.device).where(w > 0, m)
    whose, places = assign(out["rois"].detach(), boxes, number, m)  # m: nobody's
    front = whose < m
    labels, w = F.pad(labels, (0, 1), value=none).gather(1, whose), F.pad(w, (0, 1), value=ground).gather(1, whose)
    return candidate_losses(out, labels, balanced(front) * w, places, front * w)


def read_twice(net: nn.Module, x: Tensor, most: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What a detector finds among its candidates, found boxes read again as the second stage of two would: boxes [N, most, 4] and labels
    [N, most] of the second reading, `again` its scores, `first` those of the candidates; and all it says of candidates"""
    out = net(x)
    object = found(out, most)
    second = net(x, object["boxes"])
    again, labels = wide(second["logits"]).softmax(-1)[..., :-1].max(-1)
    boxes = decode(wide(second["offsets"]), wide(second["rois"]))
    return {"boxes": boxes, "labels": labels, "again": again * (object["scores"] > 0), "first": object["scores"]}, out


def others(out: dict[str, Tensor], boxes: Tensor, kept: Tensor, least: float) -> tuple[Tensor, Tensor]:
    """Boxes of all candidates, and which of them may be objects, with a score above `least`, and overlap no kept box; boxes
    [N, M, 4], kept [N, M] bool -> [N, A, 4], [N, A] bool"""
    candidates, scores = decode(wide(out["offsets"]), wide(out["rois"])), wide(out["logits"]).softmax(-1)[..., :-1].amax(-1)
    return candidates, (scores > least) & ((iou(candidates, boxes) * kept[:, None]).amax(-1) <= 0)


def picked(x: Tensor, which: Tensor) -> Tensor:
    """Some candidates of each picture; [N, A, D], [N, k] -> [N, k, D]"""
    return x.gather(1, which[..., None].expand(-1, -1, x.shape[-1]))


def mistaken(labels: Tensor, none: int, flip: float, sure: float = 4.0) -> Tensor:
    """Probabilities as a teacher may give them that isn't sure of a label, or takes it for any of the `none` classes with
    probability `flip`: the softmax of standard noise, `sure` higher at the label; hidden labels count as 0; from torch's own
    stream; [...] -> [..., none+1]"""
    other = torch.randint(none, labels.shape, device=labels.device)
    said = other.where(torch.rand(labels.shape, device=labels.device) < flip, labels.clamp(0, none))
    return (sure * F.one_hot(said, none + 1) + torch.randn(*labels.shape, none + 1, device=labels.device)).softmax(-1)
