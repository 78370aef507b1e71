"""ReMixMatch: how often the student answers each digit over the validation rows a third of the way, before and after its answers are
aligned with the labelled rows' shares; and one digit in the four poses that it is to tell apart."""

import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.parts.poses import posed
from understudy.worlds.rows import answers
from understudy.worlds.utterances import utterances


def scene() -> Figure:
    world = utterances(1000)
    run = fit(start(get("remixmatch")(), world, 1000, device="cpu"), world.steps // 3)
    x, y = world.data.valid.x, world.data.valid.y
    p = answers(run["student"], x).softmax(-1)
    aligned = run["alignment"](p)
    figure = Figure((10.5, 4), layout="constrained")
    bars, poses = figure.subfigures(1, 2, width_ratios=(1.7, 1))
    ax = bars.subplots()
    for j, (said, colour, name) in enumerate(((p, "0.7", "as answered"), (aligned, "tab:blue", "aligned"))):
        right = 100 * (said.argmax(1) == y).double().mean().item()
        ax.bar(torch.arange(10) + 0.4 * (j - 0.5), 100 * said.mean(0), 0.38, color=colour, label=f"{name}: {right:.1f} % right")
    ax.axhline(10, color="black", ls="--", lw=0.8, label="share of the labelled rows")
    ax.set(xticks=range(10), xlabel="digit", ylabel="mean of the answers (%)", ylim=(0, 18))
    ax.legend(frameon=False, loc="upper left")
    four = posed(x[:1].expand(4, -1, -1, -1), torch.arange(4))
    for ax, picture, name in zip(poses.subplots(2, 2).flat, four, ("as it is", "backwards", "pitch turned", "both"), strict=True):
        ax.imshow(picture[0], origin="lower", aspect="auto", cmap="magma", vmin=-2, vmax=2.5)
        ax.set(xticks=[], yticks=[], title=name)
    return figure
