"""Where two teachers hear a sound come from, and where they agree.

Validation scenes: three digits, one of which sounds (red). Two lines of maps, one a teacher: how likely a place sounds. Below,
what both are sure of; green where they overlap enough to be a label.
"""

from __future__ import annotations

import torch
from boxed import GOOD, TRUE
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.batch import each
from understudy.core.fit import fit
from understudy.core.run import start
from understudy.methods.semi.dmt_avsl import agreed
from understudy.worlds import WORLDS


def scene() -> Figure:
    world = WORLDS["sounding"](1000, ready=True)
    run = fit(start(registry.get("dmt-avsl")(), world, 1000, device="cpu"))
    x, y, method = each(world.data.valid.x, lambda t: t[:7]), world.data.valid.y[:7], run.method
    teachers = [name for name in run.nets if name not in ("student", "peer")]
    with torch.no_grad():
        maps = [run[name](x).softmax(1)[:, 1] for name in teachers]
    both, kept = agreed(torch.stack([m >= method.sure for m in maps]), method.consensus)
    figure = Figure((9.4, 5.6), layout="constrained")
    axes = figure.subplots(len(maps) + 2, 7)
    for k in range(7):
        for line, picture in zip(axes[:, k], (x["seen"][k, 0], *(m[k] for m in maps), both[k].float()), strict=True):
            line.imshow(
                picture,
                cmap="gray" if line is axes[0, k] else "viridis",
                vmin=None if line is axes[0, k] else 0,
                vmax=None if line is axes[0, k] else 1,
            )
            line.contour(y[k].float(), levels=[0.5], colors=TRUE, linewidths=1)
            line.set(xticks=[], yticks=[])
        for spine in axes[-1, k].spines.values():
            spine.set(color=GOOD if kept[k] else "#8a8f98", linewidth=2.5 if kept[k] else 0.8)
    for line, name in zip(axes[:, 0], ("the scene", "one teacher", "the other", "both are sure"), strict=True):
        line.set_ylabel(name, fontsize=9)
    figure.suptitle("DMT on validation scenes: which digit sounds?", fontsize=10.5)
    return figure
