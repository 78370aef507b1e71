"""Two pictures pasted into one another, what supervises them, and what the student makes of pictures it never saw."""

from __future__ import annotations

from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.fit import fit
from understudy.core.run import artefact, start
from understudy.core.seeds import stream
from understudy.parts.mix import paste, window
from understudy.worlds import WORLDS
from understudy.worlds.rows import answers

COLOURS = ListedColormap(["#20242c", "#f2c14e", "#4d9de0", "#e15554"])


def scene() -> Figure:
    """Above: one labelled and one unlabelled picture, both mixes, and the labels of the first. Below: validation pictures."""
    world = WORLDS["cells"](1001, ready=True)
    runs = {name: fit(start(registry.get("bcp")(**how), world, 1001, device="cpu"))
            for name, how in (("nothing pasted", {"beta": 0.0}), ("BCP", {}))}  # fmt: skip
    run = runs["BCP"]
    batch = run.method.source(run)
    with stream(4):
        mask = window(*batch.x.shape[-2:], run.method.beta)
    l, u = 0, len(batch.x) - 1
    mixed = [paste(batch.x[a], batch.x[b], mask) for a, b in ((l, u), (u, l))]
    figure = Figure((9.4, 6.6), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1.9))
    axes = above.subplots(1, 6)
    for axis, picture, title in zip(
        axes, [batch.x[l], batch.x[u], *mixed], ["labelled", "unlabelled", "inward", "outward"], strict=False
    ):
        axis.imshow(picture[0], cmap="gray", vmin=-1.5, vmax=2.5, interpolation="nearest")
        axis.set_title(title, fontsize=10)
    for axis, (a, b), title in zip(axes[4:], ((l, u), (u, l)), ["inward's labels", "outward's labels"], strict=True):
        axis.imshow(paste(batch.label[a], batch.label[b], mask), cmap=COLOURS, vmin=0, vmax=3, interpolation="nearest")
        axis.contour(mask, [0.5], colors="white", linewidths=1)
        axis.set_title(title, fontsize=10)
    valid = world.data.valid
    said = {name: answers(artefact(r), valid.x).argmax(1) for name, r in runs.items()}
    rows = [("picture", None), ("true", valid.y), *said.items()]
    grid = below.subplots(4, 8)
    for line, (name, labels) in zip(grid, rows, strict=True):
        for k, axis in enumerate(line):
            if labels is None:
                axis.imshow(valid.x[k, 0], cmap="gray", vmin=-1.5, vmax=2.5, interpolation="nearest")
            else:
                axis.imshow(labels[k], cmap=COLOURS, vmin=0, vmax=3, interpolation="nearest")
        line[0].set_ylabel(name, fontsize=9)
    for axis in (*axes, *grid.flat):
        axis.set_xticks([])
        axis.set_yticks([])
    dices = {name: world.validate(artefact(r)) for name, r in runs.items()}
    told = ", ".join(f"{name} {100 * d:.1f}" for name, d in dices.items())
    figure.suptitle(f"4 labelled and 120 unlabelled pictures; Dice on validation pictures, %: {told}", fontsize=11)
    for name, colour in zip(("nucleus", "cytoplasm", "bud"), COLOURS.colors[1:], strict=True):
        axes[5].plot([], [], "s", color=colour, label=name)
    axes[5].legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    return figure
