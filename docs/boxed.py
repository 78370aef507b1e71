"""Pictures with boxes on them, for the scenes of detectors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from torch import Tensor, nn

from understudy.tasks import task

GOOD, UNSURE, TRUE, OTHER = "#3ddc97", "#ffb000", "#ff5d73", "#5db7ff"


def shown(axis: Axes, picture: Tensor, title: str = "") -> None:
    side = picture.shape[-1]
    axis.imshow(picture[0], cmap="gray", vmin=-1, vmax=2.6, interpolation="nearest")
    axis.set(xticks=[], yticks=[], xlim=(-0.5, side - 0.5), ylim=(side - 0.5, -0.5))
    axis.set_title(title, fontsize=8.5)


def boxed(axis: Axes, boxes: Iterable[Any], colour: str, names: Sequence[str] = (), dashed: bool = False) -> None:
    """Boxes, each with its name in its upper left corner."""
    for i, (x0, y0, x1, y1) in enumerate(torch.as_tensor(boxes).tolist()):
        line = {"linewidth": 1.1, "linestyle": "--"} if dashed else {"linewidth": 1.6}
        axis.add_patch(Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, color=colour, **line))
        if names:
            under = {"facecolor": "black", "alpha": 0.55, "pad": 0.6, "linewidth": 0}
            axis.text(max(x0, 0.5), max(y0, 0.5), names[i], color=colour, fontsize=7, va="top", bbox=under, clip_on=True)


@torch.no_grad()
def judged(axis: Axes, net: nn.Module, part: Any, i: int, least: float = 0.5) -> None:
    """What a network finds in a picture, and dashed what is there."""
    said = {k: v[0] for k, v in task("detect").predict(net(part.x[i : i + 1])).items()}
    shown(axis, part.x[i])
    sure = said["scores"] > least
    boxed(axis, part.y["boxes"][i][part.y["boxes"][i].sum(-1) > 0], TRUE, dashed=True)
    boxed(axis, said["boxes"][sure], GOOD, [str(int(c)) for c in said["labels"][sure]])
