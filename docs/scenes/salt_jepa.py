"""SALT: a clip, what the student sees of it under both kinds of blocks, where it foretells the frozen teacher's states, and what
two probes read off its encoder while it learns, beside that of an averaging teacher."""

from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.parts.masked import patches, pieced
from understudy.worlds.footage import PATCH, footage


def scene() -> Figure:
    world = footage(1000)
    runs = {"frozen teacher (SALT)": start(get("salt-jepa")(), world, 1000, device="cpu"),
            "average (V-JEPA)": start(get("salt-jepa")(teacher="average"), world, 1000, device="cpu")}  # fmt: skip
    curves = {name: [] for name in runs}
    for name, run in runs.items():
        for step in range(0, world.steps + 1, 20):
            fit(run, step)
            curves[name].append((step, world.measure(run["student"], world.data.valid)))
    run = runs["frozen teacher (SALT)"]
    batch = run.method.source(run)
    figure = Figure((11, 4.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.35, 1))
    axes = left.subplots(3, 8)
    grid = run["student"].grid
    views = [batch.x] + [
        pieced(patches(batch.x, PATCH).masked_fill(m[..., None], float("nan")), grid, PATCH) for m in batch.hidden
    ]
    for row, clip, said in zip(axes, views, ("clip", "short blocks", "long blocks"), strict=True):
        for f, ax in enumerate(row):
            ax.imshow(clip[0, 0, f], cmap="gray", vmin=-1, vmax=3)
            ax.set(xticks=[], yticks=[], facecolor="tab:blue")
        row[0].set_ylabel(said)
    left.supxlabel("blue is hidden: its states are to be foretold", fontsize=9)
    ax = right.subplots()
    for (name, found), colour in zip(curves.items(), ("tab:blue", "0.5"), strict=True):
        steps, marks = zip(*found, strict=True)
        for what, style in (("digit", "-"), ("way", "--")):
            ax.plot(steps, [100 * m[what] for m in marks], style, color=colour, lw=2, label=f"{what}, {name}")
    ax.axvline(run.method.teach * world.steps, color="0.8", lw=1, zorder=0)
    ax.set(xlabel="updates (the frozen teacher's own up to the line)", ylabel="right by a linear probe (%)", ylim=(0, 100))
    ax.legend(frameon=False, fontsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    return figure
