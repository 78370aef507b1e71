"""A weak view, the strong view after Keypoint-Mix, and what teacher and reviewer say belongs there."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.fit import fit
from understudy.core.run import artefact, start
from understudy.core.seeds import stream
from understudy.worlds import WORLDS


def scene() -> Figure:
    """Lines: pictures, mixed strong views, heatmaps of the averages (all joints in one) and of the student."""
    world = WORLDS["sticks"](1001, ready=True)
    run = fit(start(registry.get("teacher-reviewer-student")(), world, 1001, device="cpu"))
    with stream(2), torch.no_grad():
        batch = run.method.source(run)
        student = run["student"](batch.mixed)
    lines = (("picture, without label", batch.x[:, 0]), ("strong view after\nKeypoint-Mix", batch.mixed[:, 0]), ("teacher", batch.teacher),
             ("reviewer", batch.reviewer), ("student", student))  # fmt: skip
    figure = Figure((8.6, 7.4), layout="constrained")
    axes = figure.subplots(5, 6)
    for line, (name, shown) in zip(axes, lines, strict=True):
        for i, axis in zip(range(6, 12), line, strict=True):
            if shown.dim() == 3:
                axis.imshow(shown[i], cmap="gray", vmin=-1, vmax=2.3, interpolation="nearest")
            else:
                believed = batch.sure[i][:, None, None] if name != "student" else torch.ones(1)
                axis.imshow((shown[i] * believed).amax(0), cmap="magma", vmin=0, vmax=1, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(name, fontsize=9)
    figure.suptitle(
        f"16 labelled and 584 unlabelled pictures; joints found on validation pictures: at the start "
        f"{100 * world.validate(world.student()):.1f} %, after {100 * world.validate(artefact(run)):.1f} %\n"
        "heatmaps of all joints in one, of the averages those that are believed",
        fontsize=10,
    )
    return figure
