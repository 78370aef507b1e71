"""MDCS: how many rows each digit has, and how well each of the three experts and all together read it."""

import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import artefact, start
from understudy.worlds.longtail import longtail

SEEDS = (1000, 1001)


def scene() -> Figure:
    right, counts = [], None
    for seed in SEEDS:
        world = longtail(seed)
        made, valid, order = (
            artefact(fit(start(get("mdcs")(), world, seed, device="cpu"))),
            world.data.valid,
            world.data.frequency,
        )
        with torch.no_grad():
            said = made.inner(valid.x)
        said = torch.cat([said, said.mean(0, keepdim=True)]).argmax(-1)
        right.append(torch.stack([(said[:, valid.y == c] == c).double().mean(1) for c in order.tolist()], 1))
        counts = torch.bincount(world.data.train.y)[order]
    right = 100 * torch.stack(right).mean(0)
    figure = Figure((12, 4), layout="constrained")
    ax = figure.subplots()
    names = [f"{n} row{'s' * (n > 1)}" for n in counts.tolist()]
    styles = (("frequent classes (-0.5)", "tab:blue"), ("all alike (1)", "tab:green"), ("rare classes (2.5)", "tab:red"))
    for k, (name, colour) in enumerate(styles):
        ax.plot(right[k], "o-", color=colour, lw=1.6, ms=4, label=f"expert for {name}: {right[k].mean():.1f}")
    ax.plot(right[3], "o-", color="black", lw=2.4, label=f"together: {right[3].mean():.1f}")
    ax.set(xticks=range(10), xticklabels=names, ylim=(0, 102), ylabel="read right, % of validation rows")
    ax.set_xlabel(f"training rows of a class, most frequent first (mean of {len(SEEDS)} seeds, each with classes of its own)")
    figure.legend(frameon=False, loc="outside right center", title="mean over classes, %")
    return figure
