"""A digit reader meets two domains that it has no labels of, and takes one step towards what six experts say of them."""

from __future__ import annotations

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import artefact, start
from understudy.worlds import WORLDS
from understudy.worlds.rows import answers
from understudy.worlds.turned import SOURCE, UNSEEN


def scene() -> Figure:
    """A digit of every domain; below, how often each expert, the student, and the student after its step are right in the new ones."""
    world = WORLDS["turned-digits"](1000, ready=True)
    made = artefact(fit(start(get("meta-dmoe")(), world, 1000, device="cpu")))
    part, train = world.data.valid, world.data.train
    heads = [net.eval() for net in world.teacher().nets]
    readers = {f"expert of {d}°": net for (d, _), net in zip(SOURCE, heads, strict=True)}
    readers |= {"student, no step": made.inner, "student, one step": made}
    fig = plt.figure(figsize=(11, 4.6), layout="constrained")
    grid = fig.add_gridspec(2, 8, height_ratios=(1, 2.6))
    for k, (degrees, contrast) in enumerate([*SOURCE, *UNSEEN["valid"]]):
        rows = train if k < len(SOURCE) else part
        ax = fig.add_subplot(grid[0, k])
        x = rows.x[rows.domain == (k if k < len(SOURCE) else k - len(SOURCE))]
        ax.imshow(x[:4, 0].reshape(2, 2, 8, 8).permute(0, 2, 1, 3).reshape(16, 16), cmap="gray", vmin=-1, vmax=1)
        colour = "black" if k < len(SOURCE) else "tab:red"
        ax.set_title(f"{degrees}°, ink {contrast:g}" + ("" if k < len(SOURCE) else "\nno labels"), fontsize=9, color=colour)
        ax.set(xticks=[], yticks=[])
    for k, (degrees, contrast) in enumerate(UNSEEN["valid"]):
        ax, here = fig.add_subplot(grid[1, 4 * k : 4 * k + 4]), part.domain == k
        right = [
            (answers(net, part.x[here], size=world.batch).argmax(1) == part.y[here]).double().mean() for net in readers.values()
        ]
        ax.barh(list(readers), 100 * torch.stack(right), color=["0.7"] * len(SOURCE) + ["tab:orange", "tab:blue"])
        for i, r in enumerate(right):
            ax.text(100 * r + 1, i, f"{100 * r:.0f}", va="center", fontsize=9)
        ax.set(title=f"{degrees}°, ink {contrast:g}, met without labels", xlabel="right (%)", xlim=(0, 100))
        ax.invert_yaxis()
        ax.spines[["top", "right"]].set_visible(False)
    return fig
