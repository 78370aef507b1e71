"""Ten digits in five lessons: what is still known after each, with weights aligned and without."""

from __future__ import annotations

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import artefact, start
from understudy.parts.incremental import classifier
from understudy.worlds import WORLDS
from understudy.worlds.rows import answers


def scene() -> Figure:
    """Accuracy by lesson and phase on validation rows, and the norms of the classifier's weights at the end."""
    world = WORLDS["lessons"](1000, ready=True, split="valid")
    order = torch.cat([world.classes(p) for p in range(world.tasks)])
    fig, axes = plt.subplots(1, 3, figsize=(11, 4.3), width_ratios=(1, 1, 1.05), layout="constrained")
    for ax, align, title in ((axes[0], "none", "distillation + exemplars"), (axes[1], "norms", "and aligned weights (WA)")):
        run = start(get("wa-cil")(align=align), world, 1000, device="cpu")
        known = torch.full((world.tasks, world.tasks), float("nan"))
        for phase in range(world.tasks):
            fit(run, (phase + 1) * world.steps // world.tasks)
            right = answers(artefact(run), world.data.valid.x).argmax(1) == world.data.valid.y
            for lesson in range(phase + 1):
                known[lesson, phase] = 100 * right[torch.isin(world.data.valid.y, world.classes(lesson))].double().mean()
        ax.imshow(known, vmin=0, vmax=100, cmap="YlGnBu")
        for (lesson, phase), value in _cells(known):
            ax.text(phase, lesson, f"{value:.0f}", ha="center", va="center", color="white" if value > 55 else "black")
        ax.set_title(f"{title}\n{100 * run.worth('valid'):.1f} % on average")
        names = [" ".join(map(str, world.classes(p).tolist())) for p in range(world.tasks)]
        ax.set(xticks=range(world.tasks), xticklabels=range(1, world.tasks + 1), yticks=range(world.tasks), yticklabels=names)
        ax.set(xlabel="after lesson", ylabel="accuracy (%) on digits")
        norm = classifier(run["student"], world.data.valid.x[:2]).weight.detach().norm(dim=1)[order]
        axes[2].plot(norm, marker="o", label=title)
    axes[2].set(xticks=range(len(order)), xticklabels=order.tolist(), xlabel="digit, in the order of lessons", ylim=(0, None))
    axes[2].set(ylabel="norm of a digit's weights", title="its classifier after five lessons")
    axes[2].legend(frameon=False)
    axes[2].spines[["top", "right"]].set_visible(False)
    return fig


def _cells(table: torch.Tensor) -> list[tuple[tuple[int, int], float]]:
    return [((i, j), v) for i, row in enumerate(table.tolist()) for j, v in enumerate(row) if v == v]
