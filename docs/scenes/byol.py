"""BYOL: a digit and its two views, and what an encoder makes of unseen digits before and after: two main directions of its features."""

import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.parts.crops import glimpse
from understudy.worlds.gallery import gallery


def scene() -> Figure:
    world = gallery(1000)
    run, x, y = start(get("byol")(), world, 1000, device="cpu"), world.data.valid.x, world.data.valid.y
    before = run.world.features(run["student"], x), world.validate(run["student"])
    fit(run)
    after = run.world.features(run["student"], x), world.validate(run["student"])
    figure = Figure((11, 4.4), layout="constrained")
    views, clouds = figure.subfigures(1, 2, width_ratios=(1, 3.2))
    with stream("scene"):
        shown = [x[3:4], glimpse(x[3:4], 0.5, 1.0), glimpse(x[3:4], 0.5, 1.0)]
    for ax, picture, name in zip(views.subplots(3, 1), shown, ("a digit", "the student sees", "its average sees"), strict=True):
        ax.imshow(picture[0, 0], cmap="gray", vmin=-1, vmax=1)
        ax.set(xticks=[], yticks=[])
        ax.set_title(name, fontsize=10)
    for ax, (f, right), name in zip(clouds.subplots(1, 2), (before, after), ("untrained", "after 240 updates"), strict=True):
        plane = (f - f.mean(0)) @ torch.linalg.svd(f - f.mean(0), full_matrices=False).Vh[:2].T
        ax.scatter(*plane.T, c="white", s=60)
        for (a, b), k in zip(plane.tolist(), y.tolist(), strict=True):
            ax.text(a, b, str(k), color=f"C{k}", fontsize=8, ha="center", va="center", fontweight="bold")
        ax.set(xticks=[], yticks=[], title=f"{name}: probe {100 * right:.0f} % right")
    return figure
