"""FixMatch: one spoken digit in a weak and in strong views (low pitch below, time to the right), and how many of the validation
rows would be believed while the student learns, with how many of those labels would be right."""

import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.parts.poses import strongly, weakly
from understudy.worlds.rows import answers
from understudy.worlds.utterances import utterances


def scene() -> Figure:
    world = utterances(1000)
    run, x, y = start(get("fixmatch")(), world, 1000, device="cpu"), world.data.valid.x, world.data.valid.y
    seen = []
    for step in range(0, world.steps + 1, 20):
        fit(run, step)
        top, k = answers(run["student"], x).softmax(-1).max(-1)
        kept = top >= run.method.threshold
        seen.append((step, kept.double().mean().item(), (k == y)[kept].double().mean().item() if kept.any() else float("nan"),
                     (k == y).double().mean().item()))  # fmt: skip
    figure = Figure((10.5, 4), layout="constrained")
    views, curve = figure.subfigures(1, 2, width_ratios=(1, 1.6))
    with stream("scene"):
        shown = [x[:1], weakly(x[:1]), strongly(x[:1]), strongly(x[:1])]
    for ax, picture, name in zip(views.subplots(2, 2).flat, shown, ("as it is", "weak", "strong", "strong"), strict=True):
        ax.imshow(picture[0, 0], origin="lower", aspect="auto", cmap="magma", vmin=-2, vmax=2.5)
        ax.set(xticks=[], yticks=[], title=name)
    ax = curve.subplots()
    steps, kept, right, all_ = torch.tensor(seen).T
    for values, colour, name in (
        (kept, "tab:blue", "believed"),
        (right, "tab:green", "right, of those believed"),
        (all_, "0.5", "right, of all"),
    ):
        ax.plot(steps, 100 * values, color=colour, lw=2, label=name)
    ax.set(xlabel="updates", ylabel="% of validation rows", ylim=(0, 102))
    ax.legend(frameon=False)
    return figure
