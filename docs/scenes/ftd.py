"""FTD on digits: the ten rows that were made, and what a fresh student learns from them."""

from __future__ import annotations

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from understudy.core.batch import Batch
from understudy.core.fit import fit
from understudy.core.run import artefact, start
from understudy.methods import ftd
from understudy.worlds.condense import condense
from understudy.worlds.rows import taught


def scene() -> Figure:
    """Real rows that it began with above, made ones below; accuracy by the number of steps on either."""
    world = condense(1000)
    run = start(ftd(), world, 1000, device="cpu")
    real, course = artefact(run), []
    assert isinstance(real, Batch)

    def watch(run, _batch, terms):
        course.extend((run.step, t["match"].item()) for t in terms.values() if "match" in t)

    made = artefact(fit(run, watch=watch))
    assert isinstance(made, Batch)
    figure = plt.figure(figsize=(9, 4.8), layout="constrained")
    top, low = figure.subfigures(2, 1, height_ratios=[1.15, 1])
    for line, (name, rows) in enumerate((("real", real), ("made", made))):
        for c in range(10):
            one = top.add_subplot(2, 10, 10 * line + c + 1)
            one.imshow(rows.x[c, 0], cmap="gray", vmin=rows.x.min(), vmax=rows.x.max())
            one.set(xticks=[], yticks=[], title=str(c) if not line else "", ylabel=name if not c else "")
    left, right = low.subplots(1, 2)
    steps, match = zip(*course, strict=True)
    smooth = torch.tensor(match).unfold(0, 15, 1).mean(-1)
    left.plot(steps, match, ".", color="#cbd5e1", markersize=4)
    left.plot(steps[7:-7], smooth, color="#c2410c")
    left.set(xlabel="step, the experts' come first", ylabel="share of the way left", ylim=(0, 1))
    budgets = (5, 10, 20, 50, 100, 200)
    for rows, name, colour in ((made, "10 made rows", "#c2410c"), (real, "10 real rows", "#64748b")):
        own = Batch({**rows, "lr": made.lr})
        share = [100 * sum(world.validate(taught(world, own, s, n)) for s in range(3)) / 3 for n in budgets]
        right.plot(budgets, share, "o-", color=colour, markersize=4)
        right.annotate(name, (budgets[-1], share[-1]), (0, -13), textcoords="offset points", ha="right", color=colour)
    right.set(xlabel="steps of a fresh student", ylabel="validation accuracy, %", xscale="log", ylim=(0, 100))
    for one in (left, right):
        one.spines[["top", "right"]].set_visible(False)
    return figure
