"""Six faults, and where they are seen."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import artefact, start
from understudy.parts.anomaly import normalised
from understudy.worlds import WORLDS
from understudy.worlds.textures import SIDE

FAULTS = ("faultless", "scratch", "stain", "patch", "missing", "doubled", "swapped")


def scene() -> Figure:
    """A picture of each kind; what the student can't say of its patches; what it can't say of the whole; both."""
    world = WORLDS["textures"](1000, ready=True)
    detector = artefact(fit(start(get("efficientad")(q=0.9), world, 1000, device="cpu")))
    judged = world.data.judged
    x = torch.stack([judged.x[judged.wrong == k][1] for k in range(7)])
    with torch.no_grad():
        local, whole = (normalised(m, *q) for m, q in zip(detector.both(x), detector.quantiles, strict=True))
        rows = (x[:, 0], local, whole, detector.maps(x))
    figure = Figure(figsize=(9, 5.4), layout="constrained")
    axes = figure.subplots(4, 7)
    for across, row, label in zip(axes, rows, ("picture", "patches", "whole", "both"), strict=True):
        for k, (ax, picture) in enumerate(zip(across, row, strict=True)):
            heat = row is not rows[0]
            edge = 7 if heat else 0  # a place of the map is the middle of its patch
            shown = ax.imshow(picture, cmap="magma" if heat else "gray", vmin=0, vmax=0.4 if heat else 1,
                              extent=(edge, SIDE - edge, SIDE - edge, edge))  # fmt: skip
            ax.set(xlim=(0, SIDE), ylim=(SIDE, 0), xticks=[], yticks=[], facecolor="black")
            if row is rows[0]:
                ax.set_title(FAULTS[k], fontsize=10)
            elif row is rows[3]:
                ax.set_xlabel(f"score {picture.max():.2f}", fontsize=9)
        across[0].set_ylabel(label, fontsize=10)
    figure.colorbar(shown, ax=axes[1:], shrink=0.7, label="difference (0.1: the 99.5 % quantile of faultless places)")
    return figure
