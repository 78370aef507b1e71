"""What the teacher is sure of in fog, what it isn't sure of and teaches all the same, and how strongly."""

from __future__ import annotations

import torch
from boxed import GOOD, UNSURE, boxed, judged, shown
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.fit import fit
from understudy.core.run import artefact, start
from understudy.core.seeds import stream
from understudy.parts.boxes import carried, inverse
from understudy.parts.pseudo_boxes import told
from understudy.worlds import WORLDS


def scene() -> Figure:
    """Lines: weak views with sure objects and unsure candidates, strong views with both carried over; what is found in validation
    pictures at the start, and in the end."""
    world = WORLDS["foggy"](1000, ready=True)
    run = start(registry.get("lpld")(), world, 1000, device="cpu")
    begun = world.student().eval()
    with stream(1), torch.no_grad():
        batch = run.method.source(run)
        out = run["teacher"](batch.weak)
    keep = batch.unsure.sum(1).argsort(descending=True)[:5]
    end, valid = artefact(fit(run)), world.data.valid
    figure = Figure((9.4, 8.0), layout="constrained")
    axes = figure.subplots(4, 5)
    for column, i in enumerate(keep.tolist()):
        sure, way = batch.sure[i], batch.way[i : i + 1]
        back = carried(batch.boxes[i : i + 1], inverse(way))[0][sure]
        names = [f"{int(c)}: {p:.2f}" for c, p in zip(batch.labels[i][sure], batch.scores[i][sure], strict=True)]
        some = batch.unsure[i].nonzero()[:, 0]
        some = some[out["logits"][i, some].softmax(-1)[:, :-1].amax(-1).argsort(descending=True)[:3]]
        rois = out["rois"][i : i + 1, some]
        classes = [f"{int(c)}?" for c in out["logits"][i, some, :-1].argmax(-1)]
        for line, picture, sures, unsures in (
            (0, batch.weak, back, rois),
            (1, batch.strong, batch.boxes[i][sure], told(rois, way, batch.strong)),
        ):
            shown(axes[line, column], picture[i], f"{len(some)} of {int(batch.unsure[i].sum())} unsure" if line == 0 else "")
            boxed(axes[line, column], unsures[0], UNSURE, classes)
            boxed(axes[line, column], sures, GOOD, names)
        judged(axes[2, column], begun, valid, column)
        judged(axes[3, column], end, valid, column)
    for line, name in zip(
        axes,
        ("weak view:\nthe teacher's", "strong view:\nwhat is taught", "validation:\nat the start", "validation:\nin the end"),
        strict=True,
    ):
        line[0].set_ylabel(name, fontsize=9)
    figure.suptitle(
        f"LPLD in fog, without a label: AP50 on validation {100 * world.validate(begun):.1f} % at the start, {100 * world.validate(end):.1f} % in the end\n"
        "green: objects the teacher is sure of; orange: candidates whose class is clear, if they are objects at all",
        fontsize=10.5,
    )  # fmt: skip
    return figure
