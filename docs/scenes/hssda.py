"""What the teacher's objects are worth between two thresholds, which points go, and what the student sees.

Above: validation scenes from above, points that go (red), objects that count whole (green) or less (amber, with their weight),
the truth (dashed). Below: the same scenes as the student gets them, their quarters shuffled. Their labels are hidden from the
method.
"""

from __future__ import annotations

import torch
from boxed import GOOD, TRUE, UNSURE
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from understudy.core import registry
from understudy.core.batch import Batch
from understudy.core.fit import fit
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.core.world import recast
from understudy.parts.points import inside, shuffled
from understudy.parts.pseudo_boxes import others
from understudy.worlds import WORLDS


def scene() -> Figure:
    world = WORLDS["yards"](1000, ready=True)
    run = fit(start(registry.get("hssda")(), world, 1000, device="cpu"))
    x, y = world.data.valid.x[:4], {k: v[:4] for k, v in world.data.valid.y.items()}
    asked = Batch(x=x, y={"boxes": torch.full_like(y["boxes"], torch.nan), "labels": torch.full_like(y["labels"], -1)})
    run.world, method = recast(world, rows=lambda step, split="train": asked), run.method
    with stream(1), torch.no_grad():
        batch = method.source(run)
        object, out = method.objects(run["teacher"], x)
        w = method.weights(object, run["thresholds"])
        gone = inside(x, *others(out, object["boxes"], w > 0, method.least))
    seen = shuffled(batch.strong, batch.order)
    figure = Figure((10.5, 5.8), layout="constrained")
    for k, (above, below) in enumerate(figure.subplots(2, 4).T):
        dots(above, x[k], gone[k])
        dots(below, seen[k], torch.zeros(len(seen[k]), dtype=torch.bool))
        for i in range(len(w[k])):
            if w[k, i] > 0:
                colour = GOOD if w[k, i] == 1 else UNSURE
                framed(above, object["boxes"][k, i], colour)
                above.text(*object["boxes"][k, i, :2].tolist(), f"{w[k, i]:.1f}", color="#222", fontsize=7, va="bottom")
        for box, label in zip(y["boxes"][k], y["labels"][k], strict=True):
            if 0 <= int(label) < out["logits"].shape[-1] - 1:
                framed(above, box, TRUE, dashed=True)
    figure.suptitle("HSSDA on validation scenes", fontsize=10.5)
    return figure


def dots(axes: Axes, points: torch.Tensor, gone: torch.Tensor) -> None:
    there = (points[:, :2] >= 0).all(-1) & (points[:, :2] <= 1).all(-1)
    for which, colour in ((there & ~gone, "#667"), (there & gone, "#ff5d73")):
        axes.scatter(*points[which][:, :2].T.tolist(), s=3, color=colour, linewidths=0)
    axes.set(xticks=[], yticks=[], xlim=(0, 1), ylim=(1, 0), aspect="equal")


def framed(axes: Axes, box: torch.Tensor, colour: str, dashed: bool = False) -> None:
    x0, y0, x1, y1 = box.tolist()
    line = {"linewidth": 1.1, "linestyle": "--"} if dashed else {"linewidth": 1.6}
    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, color=colour, **line))
