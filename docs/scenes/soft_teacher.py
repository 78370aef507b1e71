"""What the teacher found in pictures without labels, whose places it is sure of, and how far it believes in the background."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from understudy.core import registry
from understudy.core.fit import fit
from understudy.core.run import artefact, start
from understudy.core.seeds import stream
from understudy.parts.boxes import carried, inverse
from understudy.tasks import task
from understudy.worlds import WORLDS
from understudy.worlds.scenes import CLASSES, SIDE

GOOD, UNSURE, TRUE = "#3ddc97", "#ffb000", "#ff5d73"


def boxed(axis, picture, boxes=(), colours=(), names=(), dashed=()) -> None:
    axis.imshow(picture[0], cmap="gray", vmin=-1, vmax=2.6, interpolation="nearest")
    for (x0, y0, x1, y1), colour, name in zip(boxes, colours, names, strict=True):
        axis.add_patch(Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, color=colour, linewidth=1.6))
        box = {"facecolor": "black", "alpha": 0.55, "pad": 0.6, "linewidth": 0}
        axis.text(max(float(x0), 0.5), max(float(y0), 0.5), name, color=colour, fontsize=7.5, va="top", bbox=box, clip_on=True)
    for x0, y0, x1, y1 in dashed:
        axis.add_patch(Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, color=TRUE, linewidth=1.1, linestyle="--"))
    axis.set(xticks=[], yticks=[], xlim=(-0.5, SIDE - 0.5), ylim=(SIDE - 0.5, -0.5))


def scene() -> Figure:
    """Lines: the weak view with the teacher's objects, the strong view with the boxes carried over, the weights of the student's
    candidates as background; what the student finds in validation pictures, and what is there."""
    world = WORLDS["scenes"](1000, ready=True)
    run = fit(start(registry.get("soft-teacher")(), world, 1000, device="cpu"))
    with stream(1), torch.no_grad():
        batch = run.method.source(run)
        rois = run["student"](batch.strong)["rois"]
        believed = run["teacher"](batch.weak, carried(rois, inverse(batch.way)))["logits"].softmax(-1)[..., -1]
    figure = Figure((9.4, 8.0), layout="constrained")
    axes = figure.subplots(4, 5)
    lines = ("weak view: the\nteacher's objects", "strong view: carried\nover, to be learned", "r, as which candidates\ncount as background",
             "validation: found (above\n0.5), there (dashed)")  # fmt: skip
    keep = torch.arange(3, 8)
    for column, i in enumerate(keep.tolist()):
        shown = (batch.scores[i] > run.method.maybe).nonzero()[:, 0]
        steady = batch.spread[i] < run.method.steady
        colours = [GOOD if steady[m] else UNSURE for m in shown]
        back = carried(batch.boxes[i : i + 1], inverse(batch.way[i : i + 1]))[0]
        names = [f"{int(batch.labels[i, m])}: {batch.scores[i, m]:.2f}" for m in shown]
        boxed(axes[0, column], batch.weak[i], back[shown], colours, names)
        boxed(axes[1, column], batch.strong[i], batch.boxes[i][shown], colours, names)
        boxed(axes[2, column], batch.strong[i])
        centre = (rois[i, :, :2] + rois[i, :, 2:]) / 2
        dots = axes[2, column].scatter(centre[:, 0], centre[:, 1], c=believed[i], s=9, cmap="viridis", vmin=0, vmax=1)
    figure.colorbar(dots, ax=list(axes[2]), shrink=0.9, label="r, the teacher's background")
    valid = world.data.valid
    with torch.no_grad():
        said = task("detect").predict(artefact(run)(valid.x[:5]))
    for column in range(5):
        sure, there = said["scores"][column] > 0.5, valid.y["labels"][column] < CLASSES
        names = [str(int(c)) for c in said["labels"][column][sure]]
        found, true = said["boxes"][column][sure], valid.y["boxes"][column][there]
        boxed(axes[3, column], valid.x[column], found, [GOOD] * len(names), names, true)
    for line, name in zip(axes, lines, strict=True):
        line[0].set_ylabel(name, fontsize=9)
    figure.suptitle(
        f"Soft Teacher, 20 labelled and 620 unlabelled pictures: AP50 on validation {100 * world.validate(artefact(run)):.1f} %"
        f" (at its start {100 * world.validate(world.student()):.1f} %)\ngreen: a steady place, learned; orange: places of jittered boxes differ, left out",
        fontsize=10.5,
    )  # fmt: skip
    return figure
