"""What an encoder that saw no label says of rows of known and of unknown classes."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.worlds import WORLDS
from understudy.worlds.digits import splits


def scene() -> Figure:
    """Left: weights of rows without a label, by what they really are. Right: rows of most and of least weight."""
    world, method = WORLDS["strangers"](1000, ready=True), get("wad")()
    run = fit(start(method, world, 1000, device="cpu"), round(method.pretrain * world.steps))
    known, train, pool = run["knowledge"], world.data.train, splits(torch.get_default_dtype()).pool
    true = pool.y[torch.cdist(train.x.flatten(1), pool.x.flatten(1)).argmin(1)]
    hidden = train.y < 0
    kinds = {"digits 0 to 3": hidden & (true < 4), "digits 4 to 9": hidden & (true >= 4)}
    right = 100 * float((known.pseudo == true)[kinds["digits 0 to 3"]].double().mean())
    figure = Figure((10.5, 4.2), layout="constrained")
    left, side = figure.subfigures(1, 2, width_ratios=(1, 1.15))
    axis = left.subplots()
    axis.hist([known.weight[rows].numpy() for rows in kinds.values()], 24, color=("tab:blue", "tab:orange"),
              label=[f"{name}: {int(rows.sum())} rows, mean {known.weight[rows].mean():.2f}" for name, rows in kinds.items()])  # fmt: skip
    axis.set(
        xlabel="weight w of a row without a label", ylabel="rows", title=f"suggested class of digits 0 to 3: {right:.0f} % right"
    )
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False)
    order = [i for i in known.weight.argsort(descending=True).tolist() if hidden[i]]
    grid = side.subplots(4, 8)
    for axes, i in zip(grid.flat, order[:16] + order[-16:], strict=True):
        axes.imshow(train.x[i, 0], cmap="gray_r", vmin=-1, vmax=1)
        axes.set_title(
            f"{int(known.pseudo[i])}?  {known.weight[i]:.2f}", fontsize=8, color="tab:blue" if true[i] < 4 else "tab:orange"
        )
        axes.axis("off")
    side.suptitle("most weight (two rows above) and least (below): suggested class and w", fontsize=10)
    return figure
