"""A tagger's words in two languages, before and after it has drawn the tags' means together."""

from __future__ import annotations

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.core.taps import tap
from understudy.worlds import WORLDS

SHOWN = ("adj.sg", "det.pl", "obj.sg", "subj.pl", "verb.sg", "verb.pl")


def scene() -> Figure:
    """Mean features of six tags at home and abroad, on the two axes that tell the tags at home apart best."""
    world = WORLDS["abroad"](1000, ready=True)
    run = start(get("prokd")(align=0.3), world, 1000, device="cpu")
    fig, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    fig.get_layout_engine().set(wspace=0.08)  # type: ignore[union-attr]
    colours = plt.get_cmap("tab10").colors  # type: ignore[attr-defined]
    for ax, when in zip(axes, ("trained at home", "after drawing the means together"), strict=True):
        if when != "trained at home":
            fit(run, round(0.4 * world.steps))
        with torch.no_grad():
            places = [tap(run["teacher"], "penultimate", part.x)[1] for part in (world.data.home, world.data.valid)]
        ys = [part.y for part in (world.data.home, world.data.valid)]
        here, there = (
            torch.stack([f[y == world.data.tags.index(t)].mean(0) for t in SHOWN]) for f, y in zip(places, ys, strict=True)
        )
        here, there = (torch.nn.functional.normalize(c, dim=1) for c in (here, there))
        axis = torch.linalg.svd(here - here.mean(0)).Vh[:2].T
        a, b = here @ axis, there @ axis
        right = (run["teacher"](world.data.valid.x).argmax(-1) == ys[1])[ys[1] >= 0].double().mean()
        for k, name in enumerate(SHOWN):
            ax.plot(*torch.stack([a[k], b[k]]).T, color=colours[k], lw=1, alpha=0.6)
            ax.scatter(*a[k], color=colours[k], s=70, label=name)
            ax.scatter(*b[k], color=colours[k], s=70, marker="^", facecolors="white", linewidths=1.8)
        gap = (here - there).norm(dim=1).mean() / torch.pdist(here).mean()
        ax.set_title(f"{when}: {100 * right:.0f} % right abroad\nhome to abroad {gap:.2f} of tag to tag", fontsize=11)
        ax.set(xticks=[], yticks=[])
        ax.margins(0.12)
    axes[1].scatter([], [], color="0.4", s=60, label="home")
    axes[1].scatter([], [], color="0.4", s=60, marker="^", facecolors="white", label="abroad")
    axes[1].legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return fig
