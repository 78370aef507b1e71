"""What each pixel is; y [N, H, W], -1 is hidden."""

from __future__ import annotations

from torch import Tensor

from understudy.parts.dice import segmentation
from understudy.parts.divergence import kl
from understudy.tasks.base import Task


class Segment(Task):
    """A class for each pixel, class 0 being the background; out [N, C, H, W] are logits, y [N, H, W], -1 is hidden."""

    name, metric = "segment", "dice"

    def hard(self, out: Tensor, y: Tensor) -> Tensor:
        """(Dice + cross-entropy) / 2 over labelled pixels."""
        return segmentation(out, y, y >= 0)

    def soft(self, out: Tensor, target: Tensor, t: float) -> Tensor:
        """t^2 KL of the pixels' classes, mean over pixels."""
        out, target = (v.movedim(1, -1).flatten(0, -2) for v in (out, target))
        return kl(target, out, t)

    def predict(self, out: Tensor) -> Tensor:
        return out.argmax(1)

    def metrics(self, out: Tensor, y: Tensor) -> dict[str, float]:
        """dice: over all labelled pixels together, mean over the classes but the background; accuracy: of pixels."""
        from torchmetrics.functional.segmentation import dice_score

        said, true = self.predict(out)[y >= 0], y[y >= 0]
        score = dice_score(said[None], true[None], out.shape[1], False, "macro", "index", "global")
        return {"dice": score.mean().item(), "accuracy": (said == true).double().mean().item()}
