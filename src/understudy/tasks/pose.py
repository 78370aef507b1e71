"""Where the joints of a body are, and which places it covers; y {joints [N, K, 2], mask [N, S, S]}, NaN and -1 are hidden."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from understudy.parts.divergence import wide
from understudy.parts.joints import apart, found, heatmaps, peaks
from understudy.tasks.base import Task


class Pose(Task):
    """A heatmap a joint, and where a mask is asked for its log-odds behind them; out [N, K, S, S] or [N, K + 1, S, S], y {joints
    [N, K, 2] as (x, y) in [-1, 1], NaN hidden; perhaps mask [N, S, S] of 0 and 1, -1 hidden}."""

    name, metric = "pose", "pck"

    def hard(self, out: Tensor, y: Any) -> Tensor:
        """Half the squared distance of the heatmaps, see `parts.joints.apart`, plus the cross-entropy of the mask's known places."""
        k = y["joints"].shape[1]
        joints = y["joints"].to(wide(out))
        loss = apart(out[:, :k], heatmaps(joints, out.shape[-1]), joints.isfinite().all(-1))
        return loss + body(out[:, k], y["mask"]) if "mask" in y else loss

    def soft(self, out: Tensor, target: Tensor, t: float) -> Tensor:
        """Mean squared difference; a height has no temperature, so t is left aside."""
        return (wide(out) - wide(target)).square().mean()

    def predict(self, out: Tensor) -> Tensor:
        """The peak of each channel, -> [N, K, 2]; that of a mask means nothing."""
        return peaks(out)[0]

    def metrics(self, out: Tensor, y: Any) -> dict[str, float]:
        """pck: share of the known joints that are within 10 % of a picture's side; error: mean distance in shares of the side; iou of the
        mask, over all places, where there is one."""
        joints = y["joints"].to(wide(out))
        known = joints.isfinite().all(-1)
        said = self.predict(out[:, : joints.shape[1]])
        count = known.sum().clamp(min=1)
        told = {
            "pck": (found(said, joints).sum() / count).item(),
            "error": ((said - joints).norm(dim=-1).nan_to_num() / 2).sum().item() / count.item(),
        }
        if "mask" in y:
            inside, true, asked = out[:, joints.shape[1]] > 0, y["mask"] == 1, y["mask"] >= 0
            either = ((inside | true) & asked).sum().clamp(min=1)
            told["iou"] = ((inside & true & asked).sum() / either).item()
        return told


def body(out: Tensor, y: Tensor) -> Tensor:
    """Binary cross-entropy, mean over places that aren't hidden, 0 where all are; log-odds [N, S, S], [N, S, S] of -1, 0, 1 -> []"""
    each = F.binary_cross_entropy_with_logits(wide(out), y.clamp(min=0).to(wide(out)), reduction="none")
    return (each * (y >= 0)).sum() / (y >= 0).sum().clamp(min=1)
