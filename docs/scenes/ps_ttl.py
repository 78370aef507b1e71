"""What becomes of each arrival: a label, a soft label by prototypes, or nothing; and who is right more often for it."""

from __future__ import annotations

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.worlds import WORLDS


def scene() -> Figure:
    """Left arrivals and prototypes in the plane of most variance of the features, right accuracy while pictures arrive."""
    world = WORLDS["newcomers"](1000, ready=True, split="valid")
    runs = {"few rows alone": (get("ps-ttl")(pseudo=0.0), "0.6"), "and arrivals": (get("ps-ttl")(), "tab:blue")}
    fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained", gridspec_kw={"width_ratios": (1, 1.2)})
    for name, (method, colour) in runs.items():
        run = fit(start(method, world, 1000, device="cpu"))
        seen = torch.tensor(list(run.observed.values()))
        smooth = seen.unfold(0, 25, 1).mean(-1)
        told = f"{name}: {100 * seen.mean():.1f} %"
        right.plot(torch.arange(len(smooth)) + 12, 100 * smooth, color=colour, lw=2, label=told)
    right.set(
        xlabel="batches of 50 that have arrived, without labels", ylabel="right before learning from it (%), over 25 batches"
    )
    right.legend(frameon=False)
    x, c = world.data.valid.x, run["prototypes"].c
    with torch.no_grad():
        _, f = run.tap("student", "penultimate", x)
        top, label = run["teacher"](x).softmax(-1).max(-1)
    f, c = (v / v.norm(dim=1, keepdim=True) for v in (f, c))
    centre, plane = f.mean(0), torch.pca_lowrank(f, 2, niter=8)[2]
    at, points = (f - centre) @ plane, (c - centre) @ plane
    sure, unsure = top >= run.method.high, top < run.method.low
    between = ~sure & ~unsure
    left.scatter(*at[sure].T, c=label[sure], cmap="tab10", vmin=0, vmax=9, s=12, alpha=0.6, label=f"labelled: {sure.sum()}")
    left.scatter(*at[between].T, facecolors="none", edgecolors="black", s=26, label=f"soft label by prototypes: {between.sum()}")
    left.scatter(*at[unsure].T, color="0.6", marker="x", s=18, label=f"left out: {unsure.sum()}")
    for k, (u, v) in enumerate(points.tolist()):
        left.text(
            u, v, str(k), color="white", weight="bold", ha="center", va="center", bbox={"boxstyle": "circle", "fc": f"C{k}"}
        )
    left.set(xticks=[], yticks=[], title="features of arrivals, prototypes in circles")
    left.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(0, -0.01), ncols=3)
    return fig
