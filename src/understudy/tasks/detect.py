"""What is where; y = {"boxes": [N, M, 4], "labels": [N, M]}."""

from __future__ import annotations

import torch
from torch import Tensor

from understudy.parts.boxes import assign, balanced, candidate_losses, found, iou
from understudy.parts.divergence import kl, wide
from understudy.tasks.base import Task

Tensors = dict[str, Tensor]


class Detect(Task):
    """Objects and their boxes; out is a dict: logits [N, A, C+1] of A candidates, the last for background, their places `rois`
    [N, A, 4] and `offsets` [N, A, 4] from there to the object's box (`parts.boxes.decode`).

    y: boxes [N, M, 4] as (left, top, right, bottom) in pixels, labels [N, M], C where a picture has no more objects, -1 (and boxes
    NaN) all over a picture whose objects are hidden. A detector is called with pictures, or with pictures and candidates.
    """

    name, metric = "detect", "ap50"
    most = 10  # objects that are found in a picture

    def hard(self, out: Tensors, y: Tensors) -> Tensor:
        """Classes, objects and background counting alike, and places; mean over labelled pictures."""
        known = (y["labels"] >= 0).any(1)
        none = out["logits"].shape[-1] - 1
        labels, boxes = assign(wide(out["rois"]), y["boxes"], y["labels"], none)
        classes, places = candidate_losses(out, labels, balanced(labels < none), boxes, labels < none)
        return ((classes + places) * known).sum() / known.sum().clamp(min=1)

    def soft(self, out: Tensors, target: Tensors, t: float) -> Tensor:
        """t^2 KL of the candidates' classes and the squared difference of their offsets, mean over candidates."""
        logits, wanted = (v["logits"].flatten(0, 1) for v in (out, target))
        return kl(wanted, logits, t) + (wide(out["offsets"]) - wide(target["offsets"])).square().sum(-1).mean()

    def predict(self, out: Tensors) -> Tensors:
        """boxes [N, K, 4], labels [N, K] (C where there are no more), scores [N, K], surest first."""
        return found(out, self.most)

    def metrics(self, out: Tensors, y: Tensors) -> dict[str, float]:
        """ap50: area under precision over recall at an overlap of 0.5, made falling from the right, mean over classes that occur;
        recall: objects that are found, of the right class, among a picture's ten."""
        known = (y["labels"] >= 0).any(1)
        said = self.predict({k: v[known] for k, v in out.items()})
        none = out["logits"].shape[-1] - 1
        true = y["labels"][known]
        hits = self.hits(said, y["boxes"][known], true, none)
        curves = []
        for c in (c for c in range(none) if (true == c).any()):
            mine = said["labels"] == c
            curves.append(precision_area(said["scores"][mine], hits[mine], int((true == c).sum())))
        share = hits.sum() / (true < none).sum().clamp(min=1)
        return {"ap50": sum(curves) / max(len(curves), 1), "recall": share.item()}

    def hits(self, said: Tensors, boxes: Tensor, labels: Tensor, none: int, least: float = 0.5) -> Tensor:
        """Which detections are right: surest first, each takes the object of its class that it overlaps most among those that are
        left; -> [N, K]"""
        left, hits = labels < none, torch.zeros_like(said["labels"], dtype=torch.bool)
        for k in range(hits.shape[1]):
            mine = left & (labels == said["labels"][:, k, None])
            most, which = (iou(said["boxes"][:, k, None], boxes)[:, 0] * mine).max(1)
            hits[:, k] = most >= least
            left = left & ~(torch.arange(left.shape[1], device=left.device) == which[:, None]).logical_and(hits[:, k, None])
        return hits


def precision_area(scores: Tensor, hits: Tensor, objects: int) -> float:
    """Average precision of one class: [D] detections of `objects` objects, any order."""
    hit = hits[scores.argsort(descending=True, stable=True)].double()
    if not len(hit):
        return 0.0
    precision = hit.cumsum(0) / torch.arange(1, len(hit) + 1)
    highest_from_here = precision.flip(0).cummax(0).values.flip(0)
    return float((highest_from_here * hit).sum() / objects)
