"""OBoW: what places of pictures the first words of the vocabulary are found in, and a digit's bag as told from a small crop."""

import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.parts.crops import glimpse
from understudy.parts.relation import unit
from understudy.worlds.gallery import gallery


def scene() -> Figure:
    world = gallery(1000)
    run = fit(start(get("obow")(), world, 1000, device="cpu"))
    x, words = world.data.valid.x, run["vocabulary"][1]
    with torch.no_grad(), stream("scene"):
        levels = run.tap("teacher", run.method.at, x)[1]
        far = words.distances(levels[1])  # [N, 16, words]
        bag, crop = words(levels[1])[:1], glimpse(x[:1], 0.3, 0.5, 0.75)
        weights = unit(run["weigh"][1](unit(words.ring.rows)))
        told = (run.method.kappa * run["student"](crop) @ weights.T).softmax(1)
    side = levels[1].shape[-1]
    padded = torch.nn.functional.pad(x, (2, 2, 2, 2), value=-1.0)
    figure = Figure((11, 4.4), layout="constrained")
    left, right = figure.subfigures(1, 2)
    left.suptitle("places nearest to six words, a row each", fontsize=11)
    chosen = bag[0].argsort(descending=True)[:6]
    for line, k in zip(left.subplots(6, 8), chosen, strict=True):
        best = far[..., k].amin(1).argsort()[:8]
        for ax, n in zip(line, best, strict=True):
            row, column = divmod(int(far[n, :, k].argmin()), side)
            ax.imshow(padded[n, 0, 2 * row : 2 * row + 6, 2 * column : 2 * column + 6], cmap="gray", vmin=-1, vmax=1)
            ax.set(xticks=[], yticks=[])
    axes = right.subplots(2, 2, width_ratios=(1, 3))
    order = bag[0].argsort(descending=True)
    for (picture, ax), shown, p, name, colour in zip(axes, (x, crop), (bag, told), ("the average's bag of the whole", "told from a part of it"),
                                                     ("tab:blue", "tab:orange"), strict=True):  # fmt: skip
        picture.imshow(shown[0, 0], cmap="gray", vmin=-1, vmax=1)
        picture.set(xticks=[], yticks=[])
        ax.bar(range(len(order)), p[0, order], width=1.0, color=colour)
        ax.set(xticks=[], yticks=[], title=name)
    axes[1][1].set_xlabel(f"{len(order)} words, by the average's answer")
    return figure
