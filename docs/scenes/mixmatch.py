"""MixMatch: a labelled digit, an unlabelled one and their mixture at the share that the draw gave; and what the student guesses
of some validation rows half way through, before and after it is made surer (the right digit is on green)."""

import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.parts.mix import blended, shares
from understudy.parts.poses import weakly
from understudy.parts.sharpen import sharpened
from understudy.worlds.rows import answers
from understudy.worlds.utterances import utterances


def scene() -> Figure:
    world = utterances(1000)
    run = fit(start(get("mixmatch")(weight=10.0), world, 1000, device="cpu"), world.steps // 2)
    x, y = world.data.valid.x, world.data.valid.y
    with stream("scene"):
        guess = sum(answers(run["student"], weakly(x)).softmax(-1) for _ in range(2)) / 2
        share = shares(1, 0.75)
    surer, unsure = sharpened(guess, run.method.t), guess.amax(1).argsort()[:: max(1, len(y) // 6)][:6]
    one, other = world.data.train.x[:1], x[-1:]
    figure = Figure((10.5, 4.6), layout="constrained")
    rows, bars = figure.subfigures(2, 1, height_ratios=(1, 1.1))
    pictures = ((one, "labelled"), (other, "unlabelled"), (blended(one, other, share), f"{share.item():.2f} of the first"))
    for ax, (picture, name) in zip(rows.subplots(1, 3), pictures, strict=True):
        ax.imshow(picture[0, 0], origin="lower", aspect="auto", cmap="magma", vmin=-2, vmax=2.5)
        ax.set(xticks=[], yticks=[], title=name)
    for ax, i in zip(bars.subplots(1, 6, sharey=True), unsure, strict=True):
        ax.bar(torch.arange(10) - 0.2, guess[i], 0.4, color="0.7", label="guess")
        ax.bar(torch.arange(10) + 0.2, surer[i], 0.4, color="tab:blue", label="made surer")
        ax.axvspan(y[i] - 0.5, y[i] + 0.5, color="tab:green", alpha=0.15, lw=0)
        ax.set(xticks=range(10), ylim=(0, 1))
        ax.tick_params(labelsize=7)
    bars.axes[0].legend(frameon=False, fontsize=8)
    return figure
