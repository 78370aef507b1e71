"""LLKD: which of the teacher's labels are learned from, and how many of those are right, early and late."""

import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.fit import fit
from understudy.core.run import start
from understudy.parts.divergence import entropy
from understudy.worlds import WORLDS

WHEN = (50, 150, 400)


def scene() -> Figure:
    world = WORLDS["unlabelled"](1000, ready=True)
    fig, axes = plt.subplots(1, len(WHEN), figsize=(12, 4.2), sharex=True, sharey=True, layout="constrained")
    run = start(registry.get("llkd")(), world, 0, device="cpu")
    for ax, step in zip(axes, WHEN, strict=True):
        fit(run, step)
        drawn(ax, run)
    axes[0].set_ylabel("student's uncertainty h")
    axes[0].legend(loc="lower left", fontsize=8)
    return fig


@torch.no_grad()
def drawn(ax, run):
    """All unlabelled sentences; full dots are kept by the thresholds of their class."""
    data = run.world.data
    u, s = run["teacher"](data.train.x), run["student"](data.train.x)
    c, k = u.softmax(-1).max(-1)
    h = entropy(s) / torch.tensor(float(u.shape[-1])).log()
    kept = (c >= run["sure"].mean[k]) & (h >= run["unsure"].mean[k])
    right = k == data.held.pool.y  # nobody but this picture knows
    for wrong, colour, name in ((False, "tab:blue", "label right"), (True, "tab:red", "label wrong")):
        some = right ^ wrong
        ax.scatter(c[some & ~kept], h[some & ~kept], s=6, color=colour, alpha=0.12, lw=0)
        ax.scatter(c[some & kept], h[some & kept], s=9, color=colour, lw=0, label=f"{name}, kept")
    share = lambda of: f"{100 * right[of].double().mean().item():.1f} %"
    everything = torch.ones_like(kept)
    ax.set_title(f"after {run.step} steps: {100 * kept.double().mean().item():.0f} % kept\n"
                 f"labels right: {share(kept)} of those kept, {share(everything)} of all", fontsize=10)  # fmt: skip
    ax.set_xlabel("teacher's confidence c")
