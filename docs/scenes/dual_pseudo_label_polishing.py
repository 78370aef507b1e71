"""What the teacher says of pictures without labels, what polishing makes of it, and what is there."""

from __future__ import annotations

import torch
from boxed import GOOD, OTHER, TRUE, UNSURE, boxed, shown
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.batch import Batch
from understudy.core.fit import fit
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.core.world import recast
from understudy.parts.boxes import carried
from understudy.worlds import WORLDS


def scene() -> Figure:
    """Lines: mistakes made on purpose about labelled objects; the teacher's objects; the same polished, those learned from for their
    class and for their place. Validation pictures stand in for unlabelled ones, so that the truth can be shown."""
    world = WORLDS["scenes"](1000, ready=True)
    run = fit(start(registry.get("dual-pseudo-label-polishing")(), world, 1000, device="cpu"))
    valid = Batch(x=world.data.valid.x[:5], y={k: v[:5] for k, v in world.data.valid.y.items()})
    run.world, method = recast(world, rows=lambda step, split="train": valid), run.method
    with stream(1), torch.no_grad():
        batch = method.source(run)
        logits, moves = (v[:, :8] for v in run["polishers"](batch.own, batch.around, batch.said))
    labels, scores, boxes, steady = method.polished(batch, logits, moves)
    true = carried(batch.y["boxes"], batch.here)
    figure = Figure((9.4, 6.6), layout="constrained")
    axes = figure.subplots(3, 5)
    for column in range(5):
        here = batch.y["labels"][column] < 5
        for line in range(3):
            shown(axes[line, column], batch.weak[column])
        made = batch.asked[column, 8:][batch.there[column]]
        boxed(axes[0, column], made, UNSURE)
        boxed(axes[0, column], true[column][here], TRUE, dashed=True)
        before = batch.scores[column] > 0.3
        names = [f"{int(c)}: {p:.2f}" for c, p in zip(batch.labels[column][before], batch.scores[column][before], strict=True)]
        boxed(axes[1, column], batch.boxes[column][before], GOOD, names)
        sure = scores[column] > method.sure
        for which, colour in ((steady[column] & ~sure & before, OTHER), (sure, GOOD)):
            names = [f"{int(c)}: {p:.2f}" for c, p in zip(labels[column][which], scores[column][which], strict=True)]
            boxed(axes[2, column], boxes[column][which], colour, names)
        for line in (1, 2):
            boxed(axes[line, column], true[column][here], TRUE, dashed=True)
    names = (
        "mistakes on purpose,\nto be undone",
        "the teacher's objects\n(score above 0.3)",
        "polished: class (green),\nplace only (blue)",
    )
    for line, name in zip(axes, names, strict=True):
        line[0].set_ylabel(name, fontsize=9)
    figure.suptitle("Dual pseudo-label polishing on validation pictures (dashed: the truth)", fontsize=10.5)
    return figure
