"""RAIL: a labelled and an unlabelled picture early in training: where a student is wrong and disputed, and where it is to be less sure."""

import torch
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import artefact, start
from understudy.methods.segmentation.rail import STUDENTS
from understudy.parts.dice import dice
from understudy.worlds.touching import touching

COLOURS = ListedColormap(["#20242c", "#f2c14e", "#4d9de0"])
RED = ListedColormap(["#20242c", "#e15554"])


def scene() -> Figure:
    world = touching(1000)
    run = fit(start(get("rail")(agree=1.0), world, 1000, device="cpu"), 60)
    batch = run.rows()
    with torch.no_grad():
        out = {name: run[name](batch.x) for name in STUDENTS}
    best = min(STUDENTS, key=lambda name: dice(out[name], batch.y, batch.y >= 0).item())
    name = next(n for n in ("student", "partner") if n != best)
    mine, example = (out[n].argmax(1) for n in (name, best))
    fit(run)
    l, u = 0, len(batch.x) - 1
    disputed = (mine != example).long()
    columns = [
        ("picture", batch.x[:, 0], {"cmap": "gray", "vmin": -1.5, "vmax": 2.5}),
        ("this student", mine, {"cmap": COLOURS, "vmin": 0, "vmax": 2}),
        ("the best of four", example, {"cmap": COLOURS, "vmin": 0, "vmax": 2}),
        ("true", batch.y, {"cmap": COLOURS, "vmin": 0, "vmax": 2}),
        ("", disputed, {"cmap": RED, "vmin": 0, "vmax": 1}),
    ]
    figure = Figure((9.4, 4.2), layout="constrained")
    for line, (row, what) in zip(figure.subplots(2, 5), ((l, "wrong and disputed"), (u, "to be less sure")), strict=True):
        for axis, (title, values, how) in zip(line, columns, strict=True):
            shown = values[row]
            if title == "" and row == l:
                shown = shown * (mine[row] != batch.y[row])
            axis.set(xticks=[], yticks=[])
            axis.set_title(title or what, fontsize=10)
            if title == "true" and row == u:
                axis.text(0.5, 0.5, "hidden", ha="center", va="center", transform=axis.transAxes)
            else:
                axis.imshow(shown, interpolation="nearest", **how)
        line[0].set_ylabel("labelled" if row == l else "unlabelled")
    one, all_ = (100 * world.validate(made) for made in (run["student"], artefact(run)))
    figure.suptitle(
        f"after 60 of {world.steps} updates; at the end, Dice on validation pictures: one {one:.1f} %, all four {all_:.1f} %",
        fontsize=11,
    )
    return figure
