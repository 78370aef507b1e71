"""A digit reader in use while eight faults come and go: what it sees, and how often it is right."""

from __future__ import annotations

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.parts.statistics import batch_statistics_
from understudy.worlds import WORLDS
from understudy.worlds.stream import FAULTS


def scene() -> Figure:
    """Above one digit of each fault at its worst, below the online accuracy of three readers over the stream."""
    world = WORLDS["stream"](1000, ready=True, split="valid")
    source, steps = world.student().eval(), range(world.steps)
    batch = batch_statistics_(world.student())
    readers = {
        "source model": [world.observe(lambda: source, s) for s in steps],
        "statistics of the batch": [world.observe(lambda: batch, s) for s in steps],
        "robust mean teacher": list(fit(start(get("rmt")(decay=0.97), world, 1000, device="cpu")).observed.values()),
    }
    fig = plt.figure(figsize=(11, 4.8), layout="constrained")
    grid = fig.add_gridspec(2, len(FAULTS) + 1, height_ratios=(1, 3.2))
    domains = ["none", *FAULTS]
    for k, name in enumerate(domains):
        ax = fig.add_subplot(grid[0, k])
        worst = max((s for s in steps if world.phase(s) == k), key=world.severity)
        ax.imshow(
            world.rows(worst).x[:4, 0].reshape(2, 2, 8, 8).permute(0, 2, 1, 3).reshape(16, 16), cmap="gray", vmin=-1, vmax=1
        )
        ax.set(xticks=[], yticks=[], title=name)
    ax = fig.add_subplot(grid[1, :])
    for (name, seen), colour in zip(readers.items(), ("0.65", "tab:orange", "tab:blue"), strict=True):
        smooth = torch.tensor(seen)[None].unfold(1, 7, 1).mean(-1)[0]
        ax.plot(
            torch.arange(len(smooth)) + 3, 100 * smooth, color=colour, lw=2, label=f"{name}: {100 * sum(seen) / len(seen):.1f} %"
        )
    worse = [world.severity(s) for s in steps]
    ax.fill_between(steps, 0, [12 * w for w in worse], color="0.85", label="severity of the fault")
    for s in steps:
        if s and world.phase(s) != world.phase(s - 1):
            ax.axvline(s - 0.5, color="0.8", lw=0.8, zorder=0)
    ax.set(xlabel="batches of 50 that have arrived, without labels", ylabel="right before learning from it (%)", ylim=(0, 102))
    ax.set_xlim(0, world.steps)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(ncols=4, frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.13))
    return fig
