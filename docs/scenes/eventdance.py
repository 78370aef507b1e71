"""A digit comes into an event camera's field: its events, and the pictures made of them before and after they were learned."""

from __future__ import annotations

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.parts.events import voxels
from understudy.worlds import WORLDS


def scene() -> Figure:
    """Six times of a stream from left to right; what the source model says of each picture, and how surely."""
    world = WORLDS["saccades"](1000, ready=True)
    run = start(get("eventdance")(), world, 1000, device="cpu")
    rows = world.data.valid
    films = [run["bridge"](rows.x)[1].detach()]
    fit(run)
    films.append(run["bridge"](rows.x)[1].detach())
    with torch.no_grad():
        said = [run["teacher"](film.flatten(0, 1)).softmax(-1).unflatten(0, film.shape[:2]) for film in films]
    shown, times = 3, rows.x.shape[2]
    fig, axes = plt.subplots(3, times, figsize=(11, 5.8), layout="constrained")
    for t in range(times):
        axes[0, t].imshow(voxels(rows.x)[shown, t], cmap="RdBu", vmin=-4, vmax=4)
        for k, (film, p) in enumerate(zip(films, said, strict=True)):
            axes[k + 1, t].imshow(film[t, shown, 0], cmap="gray", vmin=-1, vmax=1)
            sure, what = p[t, shown].max(-1)
            axes[k + 1, t].set_title(
                f"{what}, {100 * sure:.0f} %", fontsize=10, color="tab:green" if what == rows.y[shown] else "tab:red"
            )
    right = [100 * (p[-1].argmax(-1) == rows.y).double().mean() for p in said]
    names = ["events", f"their sum\n(last: {right[0]:.0f} % right)", f"learned\n(last: {right[1]:.0f} % right)"]
    for ax, name in zip(axes[:, 0], names, strict=True):
        ax.set_ylabel(name)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    return fig
