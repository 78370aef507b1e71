"""What is drawn in 40 steps, and what in one or four."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import artefact, start
from understudy.core.seeds import stream
from understudy.tasks import task
from understudy.worlds import WORLDS
from understudy.worlds.mixture import many_steps
from understudy.worlds.rows import answers


def scene() -> Figure:
    """Rows, the teacher's, those of distribution matching without a critic, those of DMD2, and how far from other rows they are."""
    world, method = WORLDS["mixture"](1000, ready=True), get("dmd2")
    with stream("scene"):
        z = torch.randn(2000, 2)
    drawn = {"rows to draw more of": world.data.train.x[:2000], "teacher, 40 steps": many_steps(world.teacher(), z, 40)}
    made = {
        "without the critic, one step": method.card.baseline,
        "DMD2, one step": {"gan": 0.1},
        "DMD2, four steps": {"gan": 0.1, "steps": 4},
    }
    for title, config in made.items():
        drawn[title] = answers(artefact(fit(start(method(**config), world, 1000, device="cpu"))), z)
    figure = Figure(figsize=(12, 3.1), layout="constrained")
    axes = figure.subplots(1, 5, sharex=True, sharey=True)
    for ax, (title, x) in zip(axes, drawn.items(), strict=True):
        m = task("generate").metrics(x, world.data.valid.x)
        ax.scatter(*x.T, s=2, alpha=0.35, linewidths=0, color="tab:blue" if ax is axes[0] else "tab:orange")
        ax.set_title(f"{title}\nenergy distance {-m['energy']:.4f}, recall {100 * m['recall']:.0f} %", fontsize=8)
        ax.set(xlabel="$x_1$", aspect="equal", xlim=(-1.2, 1.2), ylim=(-1.2, 1.2))
    axes[0].set_ylabel("$x_2$")
    return figure
