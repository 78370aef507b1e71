"""What a teacher finds in one view of a picture, as labels for a student that sees another one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from understudy.parts.boxes import after, assign, balanced, candidate_losses, carried, inverse
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
