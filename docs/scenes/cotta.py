"""When the careful teacher looks several times, and how a few weights going home each step keep the student near."""

from __future__ import annotations

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.parts.restore import flat
from understudy.worlds import WORLDS


def scene() -> Figure:
    """Above the source model's confidence in each batch, below how far the student has gone from it, with and without restoring."""
    world = WORLDS["recurring"](1000, ready=True, split="valid")
    steps = range(world.steps)
    run = start(get("cotta")(threshold=0.85), world, 1000, device="cpu")
    with torch.no_grad():
        sure = [run["source"](world.rows(s).x).softmax(-1).amax(-1).mean().item() for s in steps]
    fig, (top, low) = plt.subplots(2, 1, figsize=(11, 4.8), sharex=True, layout="constrained")
    top.plot(steps, sure, color="tab:blue", lw=1.4, label="confidence of the source model")
    top.axhline(0.85, color="0.4", lw=1, ls="--", label="threshold")
    asked = [s for s in steps if sure[s] < 0.85]
    top.scatter(asked, [sure[s] for s in asked], color="tab:red", s=14, zorder=3, label=f"{len(asked)} batches seen in 4 views")
    top.set(ylabel="mean confidence", ylim=(0.62, 1))
    for restore, colour in ((0.0, "0.6"), (0.001, "tab:green"), (0.01, "tab:blue")):
        gone: list[float] = []

        def note(run: object, gone: list[float] = gone) -> None:
            gone.append((flat(run["student"]) - flat(run["source"])).norm().item())  # type: ignore[index]

        fit(start(get("cotta")(threshold=0.85, restore=restore), world, 1000, device="cpu"), after=note)
        low.plot(
            steps,
            gone,
            color=colour,
            lw=1.8,
            label=f"{100 * restore:g} % of the weights go home a step" if restore else "none go home",
        )
    low.set(xlabel="batches of 50 that have arrived: eight faults, three times over", ylabel="distance from the source model")
    for ax in (top, low):
        for s in steps:
            if s and world.phase(s) != world.phase(s - 1):
                ax.axvline(s - 0.5, color="0.75" if (world.phase(s) - 1) % 8 else "0.2", lw=0.7, zorder=0)
        ax.legend(frameon=False, ncols=3, loc="lower left" if ax is top else "upper left", fontsize=9)
    low.set_ylim(0, low.get_ylim()[1] * 1.2)
    low.set_xlim(0, world.steps)
    return fig
