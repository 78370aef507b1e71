"""Three networks that hold many, and the one that is taken out."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.run import artefact, start
from understudy.methods import autodistil
from understudy.parts.supernet import count
from understudy.worlds.encoders import superencoders


@torch.no_grad()
def scene() -> Figure:
    """Every size of every sub-space: what it weighs, how far its relations are from the teacher's, which one is within the limit."""
    world, method = superencoders(0, ready=True), autodistil()
    with torch.enable_grad():
        run = fit(start(method, world, 0, device="cpu"))
    found = artefact(run)
    rows = run.rows("valid", 0)
    _, asked = run.tap("teacher", method.teacher_at, rows.x)
    most = method.limit * count(run["student"], run["student"].space.largest)
    figure = Figure(figsize=(8.2, 4.6), layout="constrained")
    axis = figure.subplots()
    axis.axvspan(0, most, color="#eef3ee", zorder=0)
    axis.axvline(most, color="#52796f", linestyle="--", linewidth=1)
    for (name, sizes), colour, mark in zip(method.sizes(run).items(), ("#b56576", "#355070", "#e09f3e"), "os^", strict=True):
        weight = [count(run[name], s) for s in sizes]
        far = [method.apart(run, name, s, rows, asked)[1].item() for s in sizes]
        axis.scatter(weight, far, s=26, color=colour, marker=mark, alpha=0.8, label=f"{len(sizes)} sizes, depth {sizes[0].depth}, "
                     f"{sizes[0].width} to {sizes[-1].width} wide")  # fmt: skip
        for s, x, y in zip(sizes, weight, far, strict=True):
            if x == count(found, found.space.largest) and s == found.space.largest:
                tags = 100 * world.validate(found)
                axis.scatter([x], [y], s=190, facecolors="none", edgecolors="black", linewidths=1.6, zorder=3)
                axis.annotate(f"taken: {s.depth} blocks, {s.width} wide, {s.heads} heads, ratio {s.ratio:g}\ntags read off it: {tags:.0f} %",
                              (x, y), xytext=(30, 46), textcoords="offset points", fontsize=9,
                              arrowprops={"arrowstyle": "-", "color": "black"})  # fmt: skip
    axis.set(xlabel="parameters, standing alone", ylabel="distance of Q, K, V relations on held-out rows (nats)", xscale="log")
    high = axis.get_ylim()[1]
    axis.text(most * 0.98, high, "within the limit ", ha="right", va="top", fontsize=9, color="#52796f")
    axis.legend(frameon=False, fontsize=9, loc="lower left")
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.2)
    return figure
