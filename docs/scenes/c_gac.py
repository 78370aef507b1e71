"""Where two teachers agree, and where they don't: how much the student is to believe of each picture."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.fit import fit
from understudy.core.run import artefact, start
from understudy.parts.joints import distance, found, peaks
from understudy.worlds import WORLDS
from understudy.worlds.sticks import JOINTS, SIDE

COLOURS = ("#4d9de0", "#f2c14e")


def scene() -> Figure:
    """Validation pictures in the order of the teachers' confidence, with the joints that both found; confidence against error."""
    world = WORLDS["dusk"](1001, ready=True)
    run = fit(start(registry.get("c-gac")(), world, 1001, device="cpu"), 75)  # half of the budget
    valid, k = world.data.valid, len(JOINTS)
    with torch.no_grad():
        said = [run[name](valid.x)[:, :k] for name in ("first", "second")]
        w = 2 * (1 - torch.sigmoid(run.method.doubt * distance(*said).mean(1)))
        right = found(peaks(sum(said) / 2)[0], valid.y["joints"]).double().mean(1)
    order = w.argsort(descending=True)
    figure = Figure((9.6, 5.6), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1.1, 1))
    axes = above.subplots(2, 6)
    for line, picked, name in zip(axes, (order[:6], order[-6:]), ("surest", "least sure"), strict=True):
        for i, axis in zip(picked.tolist(), line, strict=True):
            axis.imshow(valid.x[i, 0], cmap="gray", vmin=-1, vmax=1.6, interpolation="nearest")
            for heat, colour, mark in zip(said, COLOURS, ("o", "x"), strict=True):
                place = (peaks(heat[i : i + 1])[0][0] + 1) * SIDE / 2 - 0.5
                axis.plot(*place.T, mark, color=colour, markersize=4)
            axis.set_title(f"w = {w[i]:.2f}", fontsize=9)
            axis.set(xlim=(-0.5, SIDE - 0.5), ylim=(SIDE - 0.5, -0.5), xticks=[], yticks=[])
        line[0].set_ylabel(name, fontsize=9)
    axis = below.subplots()
    thirds = order.flip(0).chunk(5)
    axis.bar(range(5), [100 * right[part].mean() for part in thirds], color=COLOURS[0])
    axis.set_xticks(range(5), [f"w {w[part].min():.2f} to {w[part].max():.2f}" for part in thirds], fontsize=9)
    axis.set_ylabel("% of joints found\nby both together", fontsize=9)
    fit(run)
    figure.suptitle(
        f"Blue and yellow: the joints that two teachers find at dusk, halfway through.\n"
        f"Student on validation pictures: from the source {100 * world.validate(world.student()):.1f} %, after C-GAC {100 * world.validate(artefact(run)):.1f} %",
        fontsize=10,
    )  # fmt: skip
    return figure
