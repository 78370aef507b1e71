"""ALP-GMM on the ladder: where the teacher asks, and what is mastered, as time goes on."""

from __future__ import annotations

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.methods import alp_gmm
from understudy.worlds.ladder import _feasible, _sides, ladder

PARTS = 4


def scene() -> Figure:
    """Four windows of one run beside the curves of it and of uniform tasks."""
    world = ladder(1000)
    axis = torch.linspace(0, 1, 60)
    grid = torch.cartesian_prod(axis, axis)
    gap, rise = (v.view(60, 60) for v in _sides(grid))
    figure = plt.figure(figsize=(9, 4.8), layout="constrained")
    axes = list(figure.subplot_mosaic("014;234", width_ratios=[1, 1, 1.1]).values())
    axes.sort(key=lambda one: int(one.get_label()))
    curves = {}
    for name, method in (("ALP-GMM", alp_gmm()), ("uniform", alp_gmm(explore=1.0))):
        run, asked, curve = start(method, world, 1000, device="cpu"), [], [(0, world.validate(world.student()))]

        def after(run):
            if run.step % (world.steps // 20) == 0:
                curve.append((run.step, world.validate(run["student"])))  # noqa: B023

        for k in range(PARTS):
            asked.clear()
            fit(run, world.steps * (k + 1) // PARTS, watch=lambda _r, b, _t: asked.append(b.x.clone()), after=after)  # noqa: B023
            if name == "uniform":
                continue
            with stream("scene"):
                done = type(world)(tries=1).play(run["student"], grid, noise=0.0).reward.view(60, 60)
            one = axes[k]
            one.contourf(gap, rise, done, [0.99, 1.01], colors=["#9ad1b8"])
            one.contour(gap, rise, _feasible(grid).view(60, 60).double(), [0.5], colors="black", linewidths=1, linestyles="--")
            one.scatter(*_sides(torch.cat(asked)), s=3, color="#c2410c", alpha=0.35, linewidths=0)
            one.set(title=f"steps {world.steps * k // PARTS} to {run.step}", xlim=(0.2, 3), ylim=(0, 2))
            one.set(xlabel="gap" if k > 1 else "", ylabel="" if k % 2 else "rise of a step")
        curves[name] = curve
    axes[0].text(0.3, 1.9, "orange: asked for\ngreen: mastered\ndashed: can be done", va="top", fontsize=8)
    for (name, curve), colour in zip(curves.items(), ("#c2410c", "#64748b"), strict=True):
        steps, share = zip(*curve, strict=True)
        axes[-1].plot(steps, [100 * s for s in share], color=colour)
        axes[-1].annotate(name, (steps[-1], 100 * share[-1]), (-4, 6), textcoords="offset points", ha="right", color=colour)
    axes[-1].set(title="held-out courses", xlabel="step", ylabel="mastered, %", ylim=(0, 75))
    axes[-1].spines[["top", "right"]].set_visible(False)
    return figure
