"""Return of the encoder: how sure a student is of a count, with the labels alone and with its teacher."""

import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.fit import fit
from understudy.core.run import start
from understudy.worlds import WORLDS

COUNTS = 11


def scene() -> Figure:
    world = WORLDS["readings"](1000, ready=True)
    fig, (left, *maps) = plt.subplots(1, 4, figsize=(12, 3.9), width_ratios=(1.3, 1, 1, 1), layout="constrained")
    runs = {}
    for name, a, colour in (("labels alone", 0.0, "tab:gray"), ("with the teacher", 0.9, "tab:red")):
        run = runs[name] = start(registry.get("encoder-slm-kd")(a=a), world, 0, device="cpu")
        seen = [(0, world.validate(run["student"]))]
        fit(run, after=lambda r, seen=seen: seen.append((r.step, world.validate(r["student"]))) if r.step % 20 == 0 else None)
        left.plot(*zip(*seen, strict=True), color=colour, lw=2, label=name)
    left.set(xlabel="step", ylabel="answered right, validation", ylim=(0, 1))
    left.legend(loc="lower right")
    shown = {"teacher": run["teacher"]} | {k: r["student"] for k, r in runs.items()}
    for ax, (name, net) in zip(maps, shown.items(), strict=True):
        image = counted(ax, world, net)
        ax.set_title(name, fontsize=10)
        ax.set_xlabel("pens on the list")
    maps[0].set_ylabel("answered")
    fig.colorbar(image, ax=maps[-1], label="mean probability")
    return fig


@torch.no_grad()
def counted(ax, world, net):
    """What is answered to 'how many', on average, where there are so many; white where no list has that many."""
    part, number = world.data.valid, world.data.words.number
    ids = torch.tensor([number[str(n)] for n in range(COUNTS) if str(n) in number])
    p = net.eval()(part.x)[:, -part.y.shape[1]].softmax(-1)[:, ids]
    mean = torch.full((len(ids), len(ids)), torch.nan)
    for n, word in enumerate(ids):
        rows = part.y[:, 0] == word
        if rows.any():
            mean[:, n] = p[rows].mean(0)
    return ax.imshow(mean, origin="lower", cmap="viridis", vmin=0, vmax=1)
