"""Candidates in the weak view and in the strong one, their pseudo-labels, and the space that both share before and after."""

from __future__ import annotations

import torch
from boxed import boxed, shown
from matplotlib.figure import Figure
from torch import Tensor

from understudy.core import registry
from understudy.core.fit import fit
from understudy.core.run import Run, start
from understudy.core.seeds import stream
from understudy.parts.boxes import carried, inverse
from understudy.parts.pseudo_boxes import picked
from understudy.parts.relation import unit
from understudy.worlds import WORLDS

COLOURS = ("#ffb000", "#3ddc97", "#5db7ff", "#ff5d73", "#c58cff", "#888888")


@torch.no_grad()
def spaced(run: Run, seed: int = 1) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor, Tensor]:
    """A batch, its features in the shared space from both views, the prototypes, and everybody's label."""
    with stream(seed):
        batch = run.method.source(run)
    _, f = run.tap("student", "penultimate", batch.strong, batch.rois)
    z, w = run["shared"](picked(f, batch.pick)).flatten(0, 1), run["shared"](batch.g).flatten(0, 1)
    c = unit(run["shared"].moved(w, batch.p.flatten(0, 1), run.method.keep))
    return batch, z, w, c, (w @ c.T).argmax(-1)


def scene() -> Figure:
    run = start(registry.get("wscol")(alpha=0.3), WORLDS["foggy"](1000, ready=True), 1000, device="cpu")
    first = spaced(run)
    last = spaced(fit(run))
    figure = Figure((9.4, 8.4), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.15, 1))
    axes = upper.subplots(2, 4)
    batch, label = last[0], last[4].view(len(last[0]["x"]), -1)
    for column in range(4):
        rois = batch["rois"][column, batch["pick"][column]]
        back = carried(rois[None], inverse(batch["way"][column : column + 1]))[0]
        for line, picture, boxes in ((0, batch["weak"], back), (1, batch["strong"], rois)):
            shown(axes[line, column], picture[column])
            for k in range(6):
                boxed(axes[line, column], boxes[label[column] == k], COLOURS[k])
    for line, name in zip(axes, ("weak view: labels by\nthe nearest prototype", "strong view:\nthe same places"), strict=True):
        line[0].set_ylabel(name, fontsize=9)
    for axis, (_, z, w, c, label), name in zip(lower.subplots(1, 2), (first, last), ("before", "after 100 steps"), strict=True):
        way = torch.linalg.svd(torch.cat([w, c]) - w.mean(0), full_matrices=False).Vh[:2].T
        (z, w, c) = ((v - w.mean(0)) @ way for v in (z, w, c))
        for k in range(6):
            mine = label == k
            axis.scatter(*w[mine].T, s=14, color=COLOURS[k], label=f"{k}" if k < 5 else "background")
            axis.scatter(*z[mine].T, s=22, marker="x", linewidth=0.9, color=COLOURS[k])
            axis.scatter(*c[k], s=130, marker="*", color=COLOURS[k], edgecolor="black", zorder=3)
        axis.set(xticks=[], yticks=[])
        axis.set_title(f"shared space, {name}", fontsize=10)
    axis.legend(fontsize=8, ncols=2, title="dots weak, crosses strong,\nstars prototypes", title_fontsize=8)
    figure.suptitle("WSCoL: what is seen strongly changed is drawn to what the weak view shows of the same kind", fontsize=10.5)
    return figure
