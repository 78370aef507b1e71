"""ATST: two views of a clip with hidden frames, and which digit a probe reads in each frame of an unseen one."""

import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.parts.probe import Probe
from understudy.worlds.hearing import hearing
from understudy.worlds.rows import answers


def scene() -> Figure:
    world = hearing(1000)
    run = fit(start(get("atst")(), world, 1000, device="cpu"))
    batch, told, valid = run.method.source(run), world.data.told, world.data.valid
    said = [answers(run["student"], part.x)[:, 1:] for part in (told, valid)]
    read = Probe(said[0].flatten(0, 1), told.y.flatten(), 11)(said[1].flatten(0, 1)).argmax(1).view(valid.y.shape)
    figure = Figure((11, 5.4), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1.3))
    draw = lambda ax, x: ax.imshow(x, origin="lower", aspect="auto", cmap="magma", vmin=-2, vmax=2.5)
    student = batch.views[0][0, 0].clone()
    student[:, batch.hidden[0][0]] = torch.nan
    names = ("the average hears", "the student hears, and is asked for what is missing")
    for ax, x, name in zip(above.subplots(1, 2), (batch.views[1][0, 0], student), names, strict=True):
        ax.set_facecolor("0.85")
        draw(ax, x)
        ax.set(xticks=[], yticks=[], title=name)
    axes = below.subplots(2, 2, height_ratios=(2.2, 1))
    for column, n in zip(axes.T, (3, 20), strict=True):
        draw(column[0], valid.x[n, 0])
        column[0].set(xticks=[], yticks=[], title="an unseen clip")
        for height, line in ((1, valid.y[n]), (0, read[n])):
            for k, digit in enumerate(line.tolist()):
                shown = "·" if digit == 10 else str(digit)
                column[1].text(
                    k, height, shown, ha="center", va="center", fontsize=8, color="0.1" if digit == valid.y[n, k] else "tab:red"
                )
        column[1].set(xlim=(-0.5, len(read[n]) - 0.5), ylim=(-0.6, 1.6), yticks=[0, 1], yticklabels=["read", "said"], xticks=[])
        column[1].set_xlabel("frames of 64 ms, one every 32 ms")
    return figure
