"""Which weights go home: those that the present batch doesn't need, not any by chance."""

from __future__ import annotations

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.parts.restore import at_random, least, squared_gradient
from understudy.worlds import WORLDS


def scene() -> Figure:
    """How often each weight of the embedding went home, by its Fisher information and by chance."""
    world = WORLDS["recurring"](1000, ready=True, split="valid")
    run = start(get("petal")(threshold=0.1), world, 1000, device="cpu")
    chosen, drawn = ([torch.zeros(sum(p.numel() for p in run["student"].parameters()))] for _ in range(2))

    def watch(run: object, *_: object) -> None:
        if world.phase(run.step):  # type: ignore[attr-defined]
            chosen.append(chosen.pop() + least(squared_gradient(run["student"]), run.method.restore))  # type: ignore[index, attr-defined]
            drawn.append(drawn.pop() + at_random(run["student"], run.method.restore))  # type: ignore[index, attr-defined]

    fit(run, watch=watch)
    names = [name for name, _ in run["student"].named_parameters()]
    sizes = [p.numel() for p in run["student"].parameters()]
    which, shape = names.index("embed.1.weight"), run["student"].embed[1].weight.shape
    fig, axes = plt.subplots(1, 3, figsize=(11, 3.5), layout="constrained", gridspec_kw={"width_ratios": (2, 2, 1.6)})
    most = 60
    for ax, count, name in (
        (axes[0], chosen[0], "below the quantile of the squared gradient"),
        (axes[1], drawn[0], "as many by chance"),
    ):
        shown = ax.imshow(
            count.split(sizes)[which].view(shape), cmap="magma", vmin=0, vmax=most, aspect="auto", interpolation="nearest"
        )
        ax.set(title=name, xlabel="input of the embedding", ylabel="unit of the embedding")
    fig.colorbar(shown, ax=axes[1], label=f"times home in {world.steps - world.lead} steps")
    edges = torch.linspace(0, max(chosen[0].max().item(), 25), 26).tolist()
    for count, colour, name in ((drawn[0], "0.7", "by chance"), (chosen[0], "tab:purple", "by importance")):
        axes[2].hist(count.tolist(), bins=edges, histtype="stepfilled", alpha=0.6, color=colour, label=name)
    axes[2].set(xlabel="times home", ylabel="weights, all layers", yscale="log", title="how evenly")
    axes[2].legend(frameon=False)
    return fig
