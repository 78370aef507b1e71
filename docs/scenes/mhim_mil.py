"""What the teacher hides of a bag, and what comes of it."""

from __future__ import annotations

from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import artefact, start
from understudy.core.seeds import stream
from understudy.parts.bags import weights
from understudy.worlds import WORLDS
from understudy.worlds.rows import answers


def scene() -> Figure:
    """Left: a training bag as the student sees it, by the teacher's attention. Right: how surely bags are told, by their nines."""
    world, method = WORLDS["bags"](1002, ready=True), get("mhim-mil")(high=0.2, random=0.2)
    run = start(method, world, 1002, device="cpu")
    fit(run, world.steps // 2)
    with stream(3):
        batch = method.source(run)
    at = int((batch.y == 1).nonzero()[0, 0])
    a = weights(run["teacher"].attention(run["teacher"].encoder(batch.x)))[at].detach()
    order = a.argsort(descending=True)
    fit(run)
    nets = {"attention alone": artefact(fit(start(get("alone")(), world, 1002, device="cpu"))), "MHIM-MIL": artefact(run)}
    figure = Figure((10.5, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    tiles = batch.x[at, order].view(5, 8, 8, 8).permute(0, 2, 1, 3).reshape(40, 64)
    left.imshow(tiles, cmap="gray_r", extent=(0, 8, 5, 0), vmin=-0.5, vmax=1.6)
    nines = world.data.train.nines[batch.row[at], order]
    for place, i in enumerate(order.tolist()):
        x, y = place % 8, place // 8
        if not batch.kept[at, i]:
            left.fill([x, x + 1, x + 1, x], [y, y, y + 1, y + 1], color="tab:blue", alpha=0.45, lw=0)
        if nines[place]:
            left.plot(
                [x + 0.06, x + 0.94, x + 0.94, x + 0.06, x + 0.06],
                [y + 0.06, y + 0.06, y + 0.94, y + 0.94, y + 0.06],
                color="tab:red",
                lw=2,
            )
    left.set(
        xticks=[],
        yticks=[],
        title="a bag, by the teacher's attention from left to right\nblue: masked; red: nines, which nobody is told",
    )
    part = world.data.valid
    faint = (part.nines == 2).any(1) & ~(part.nines == 1).any(1)
    kinds = {"no nine": part.y == 0, "faint nines only": faint, "a clear nine": (part.nines == 1).any(1)}
    for k, (name, net) in enumerate(nets.items()):
        p = answers(net, part.x).softmax(-1)[:, 1]
        place = [i + 0.36 * k - 0.18 for i in range(3)]
        drawn = right.violinplot(
            [p[rows].numpy() for rows in kinds.values()], place, widths=0.34, showextrema=False, showmedians=True
        )
        for body in drawn["bodies"]:
            body.set(facecolor=("0.5", "tab:blue")[k], alpha=0.7)
        drawn["cmedians"].set(color="black")
        right.fill([], [], color=("0.5", "tab:blue")[k], alpha=0.7, label=f"{name}, AUC {100 * world.validate(net):.1f}")
    right.set(ylabel="said probability of a nine", ylim=(-0.02, 1.22), title="validation bags")
    right.set_xticks(range(3), kinds)
    right.spines[["top", "right"]].set_visible(False)
    right.legend(frameon=False, loc="upper left", ncols=2)
    return figure
