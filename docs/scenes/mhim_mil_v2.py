"""One bag in training: what is masked for its evidence, what is seen, and what is recycled into a token."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.parts.bags import weights
from understudy.worlds import WORLDS


def scene() -> Figure:
    """Each digit of a training bag by the teacher's evidence, with what happens to it; and what share of nines each part holds."""
    world, method = WORLDS["bags"](1002, ready=True), get("mhim-mil-v2")(high=0.1, weight=0.1)
    run = fit(start(method, world, 1002, device="cpu"))
    run.step = world.steps - 1
    with stream(3), torch.no_grad():
        batch = method.source(run)
        teacher = run["teacher"]
        h = teacher.encoder(batch.x)
        p = (weights(teacher.attention(h))[..., None] * h @ teacher.head.weight.T).softmax(-1).amax(-1)
    nines = world.data.train.nines[batch.row] > 0
    parts = {"masked": ~(batch.seen | batch.recycled), "seen": batch.seen, "recycled": batch.recycled}
    at = int(nines.sum(1).argmax())
    figure = Figure((10.5, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2.4, 1))
    for row, (name, mine) in enumerate(parts.items()):
        own = [i for i in p[at].argsort(descending=True).tolist() if mine[at, i]][:16]
        for place, i in enumerate(own):
            left.imshow(
                batch.x[at, i].view(8, 8),
                cmap="gray_r",
                extent=(place, place + 0.92, 1.9 * row + 0.92, 1.9 * row),
                vmin=-0.5,
                vmax=1.6,
            )
            left.text(
                place + 0.46,
                1.9 * row + 1.25,
                f"{p[at, i]:.2f}",
                ha="center",
                fontsize=7,
                color="tab:red" if nines[at, i] else "0.4",
            )
        shown = "" if len(own) == int(mine[at].sum()) else f", {len(own)} of {int(mine[at].sum())}"
        left.text(0, 1.9 * row - 0.12, name + shown, fontsize=9, weight="bold")
    left.set(xlim=(0, 16), ylim=(5.2, -0.6), title="a bag with nines (red), and the teacher's evidence p of each digit")
    left.axis("off")
    positive = batch.y == 1
    share = [100 * float(nines[positive][mine[positive]].float().mean()) for mine in parts.values()]
    right.bar(range(3), share, color=("tab:red", "tab:blue", "0.6"))
    right.set(ylabel="nines among them (%)", title="bags with nines in a batch")
    right.set_xticks(range(3), parts)
    right.spines[["top", "right"]].set_visible(False)
    return figure
