"""GeoDistill: a map of landmarks, the panorama of an unknown place, and where the average that sees all around and the student
that sees a part of it believe it to be."""

import torch
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.worlds.landmarks import landmarks

COLOURS = ListedColormap(["#f4f4f2", "tab:blue", "tab:orange", "tab:green", "tab:red"])


def kinds(x):
    """Which landmark there is in each cell, 0 for none; [K, ...] -> [...]"""
    top, k = x.max(0)
    return torch.where(top > 0.5, k + 1, 0)


def scene() -> Figure:
    world = landmarks(1000, ready=True)
    run = fit(start(get("geodistill")(), world, 1000, device="cpu"))
    valid, side = world.data.valid, world.shape.side
    figure, row = Figure((11.5, 4.2), layout="constrained"), 3
    x = {k: v[row : row + 1] for k, v in valid.x.items()}
    part = {**x, "seen": x["seen"].clone()}
    part["seen"][:, 14:] = 0
    here = divmod(int(valid.y[row]), side)
    with torch.no_grad():
        said = {
            "average, all around": (run["teacher"](x) / run.method.sharp),
            "student, the part": (run["student"](part) / run.method.t),
        }
    left, right = figure.subfigures(1, 2, width_ratios=(1, 2))
    above, below = left.subplots(2, 1)
    for ax, seen, title in ((above, x, "panorama: all around"), (below, part, "panorama: a field of view")):
        shown = kinds(x["ring"][0]) * (seen["seen"][0] > 0) + 0
        ax.imshow(shown, cmap=COLOURS, vmin=0, vmax=4, origin="lower", aspect="auto")
        dark = (seen["seen"][0] == 0).nonzero()
        if len(dark):
            ax.axvspan(dark.min() - 0.5, dark.max() + 0.5, color="0.25")
        ax.set(xticks=[-0.5, 7.5, 15.5, 23.5, 31.5], xticklabels=["W", "N", "E", "S", "W"], yticks=[], ylabel="distance")
        ax.set_title(title, fontsize=10)
    axes = right.subplots(1, 3)
    axes[0].imshow(kinds(x["map"][0]), cmap=COLOURS, vmin=0, vmax=4)
    axes[0].set_title("map from above", fontsize=10)
    for ax, (name, logits) in zip(axes[1:], said.items(), strict=True):
        ax.imshow(logits.softmax(-1).view(side, side), cmap="magma")
        ax.set_title(name, fontsize=10)
    for ax in axes:
        ax.plot(here[1], here[0], "+", color="deepskyblue", ms=14, mew=2)
        ax.set(xticks=[], yticks=[])
    right.suptitle("+ where it was taken, which nobody was told", fontsize=10, y=0.06)
    return figure
