"""A picture as it is, lightly and heavily disturbed, and how far the student's map is from its average's where objects are."""

from __future__ import annotations

import torch
from boxed import GOOD, OTHER, boxed, judged, shown
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.fit import fit
from understudy.core.run import artefact, start
from understudy.core.seeds import stream
from understudy.parts.boxes import carried, inverse
from understudy.worlds import WORLDS


def scene() -> Figure:
    """Lines: what the average finds as it is; lightly disturbed, with the cells where maps are compared; heavily disturbed, with what is
    taught; what is found in validation pictures in the end."""
    world = WORLDS["foggy"](1000, ready=True)
    run = start(registry.get("nsa-uda")(), world, 1000, device="cpu")
    before = world.validate(artefact(run))
    end = artefact(fit(run))
    with stream(1), torch.no_grad():
        batch = run.method.source(run)
    keep = batch.sure.sum(1).argsort(descending=True)[:5]
    figure = Figure((9.4, 8.0), layout="constrained")
    axes = figure.subplots(4, 5)
    for column, i in enumerate(keep.tolist()):
        sure = batch.sure[i]
        back = carried(batch.boxes[i : i + 1], inverse(batch.way[i : i + 1]))[0][sure]
        names = [f"{int(c)}: {p:.2f}" for c, p in zip(batch.labels[i][sure], batch.scores[i][sure], strict=True)]
        for line, picture in enumerate((batch.weak, batch.light, batch.strong)):
            shown(axes[line, column], picture[i])
        boxed(axes[0, column], back, GOOD, names)
        h, w = batch.g_map.shape[-2:]
        for cell in batch.inside[i].nonzero()[:, 0].tolist():
            y, x = cell // w * 48 / h, cell % w * 48 / w
            boxed(axes[1, column], [[x, y, x + 48 / w, y + 48 / h]], OTHER)
        boxed(axes[2, column], batch.boxes[i][sure], GOOD, names)
        judged(axes[3, column], end, world.data.valid, column)
    names = ("as it is:\nthe average's objects", "lightly disturbed:\nmaps agree in these cells", "heavily disturbed:\nwhat is taught",
             "validation:\nin the end")  # fmt: skip
    for line, name in zip(axes, names, strict=True):
        line[0].set_ylabel(name, fontsize=9)
    figure.suptitle(
        "NSA: the same outputs under heavy, the same features under light disturbance; AP50 on validation\n"
        f"{100 * before:.1f} % at the start, {100 * world.validate(end):.1f} % in the end, with labels from clear air",
        fontsize=10.5,
    )
    return figure
