"""Boxes that a network says twice, and their scores.

Validation pictures with their phrases, the surest first: the box that was regressed (green), the one of the likeliest strips
(blue), the truth (dashed). Above each stands its score, by which rows would be believed.
"""

from __future__ import annotations

import torch
from boxed import GOOD, OTHER, TRUE, boxed
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.batch import each
from understudy.core.fit import fit
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.parts.quantised import middles
from understudy.worlds import WORLDS
from understudy.worlds.grounding import WORDS


def scene() -> Figure:
    world = WORLDS["grounding"](1000, ready=True)
    run = fit(start(registry.get("actress")(), world, 1000, device="cpu"))
    x, y = each(world.data.valid.x, lambda t: t[:100]), world.data.valid.y[:100]
    with stream(1), torch.no_grad():
        box, score = run.method.judged(run["teacher"], run["student"], x)
        strips = middles(run["teacher"](x)["bins"], x["picture"].shape[-1])
    order = score.argsort(descending=True)
    figure = Figure((9.4, 5.2), layout="constrained")
    for axes, k in zip(figure.subplots(2, 5).flat, [*order[:5].tolist(), *order[-5:].tolist()], strict=True):
        axes.imshow(x["picture"][k, 0], cmap="gray")
        for which, colour, dashed in ((box[k], GOOD, False), (strips[k], OTHER, False), (y[k], TRUE, True)):
            boxed(axes, which[None], colour, dashed=dashed)
        said = " ".join(WORDS[i] for i in x["words"][k].tolist())
        axes.set_title(f"{said}: {score[k]:.2f}", fontsize=9)
        axes.set(xticks=[], yticks=[])
    figure.suptitle("ACTRESS on validation pictures: the five surest above, the five least sure below", fontsize=10.5)
    return figure
