"""Which pictures count as like the source, how the two halves are found, and what the judges still can tell."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from boxed import GOOD, OTHER, judged
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.fit import fit
from understudy.core.run import artefact, start
from understudy.core.seeds import stream
from understudy.worlds import WORLDS


def scene() -> Figure:
    """Lines: pictures of the lowest and of the highest detection variance, with what the source's detector finds; AP50 of both halves at
    the start and in the end, and the judges' error with and without a reversed gradient."""
    world = WORLDS["foggy"](1000, ready=True)
    method, begun, valid = registry.get("titan")(align=1.0), world.student().eval(), world.data.valid
    with stream(1):
        order = method.variance(begun, valid.x).argsort()
    wrong: dict[float, list[float]] = {0.0: [], 1.0: []}
    for align, told in wrong.items():
        run = start(registry.get("titan")(align=align), world, 1000, device="cpu")
        fit(run, watch=lambda _r, _b, terms, told=told: told.append(float(terms["judges"]["wrong"]) / 2))
    end = artefact(run)
    figure = Figure((9.4, 6.6), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.5, 1))
    axes = upper.subplots(2, 6)
    for line, rows, name in zip(
        axes, (order[:6], order[-6:].flip(0)), ("least variance:\n'hard'", "most variance:\n'easy'"), strict=True
    ):
        for axis, i in zip(line, rows.tolist(), strict=True):
            judged(axis, begun, valid, i)
        line[0].set_ylabel(name, fontsize=9)
    halves = {"'hard' half": order[: len(order) // 2], "'easy' half": order[len(order) // 2 :], "all": order}
    left, right = lower.subplots(1, 2)
    for shift, net, colour, name in ((-0.2, begun, "#999999", "at the start"), (0.2, end, GOOD, "in the end")):
        marks = []
        for rows in halves.values():
            part = SimpleNamespace(x=valid.x[rows], y={k: v[rows] for k, v in valid.y.items()})
            marks.append(100 * world.measure(net, part)["ap50"])
        bars = left.bar(torch.arange(3) + shift, marks, 0.38, color=colour, label=name)
        left.bar_label(bars, fmt="%.0f", fontsize=8)
    left.set_xticks(range(3), halves)
    left.set_ylabel("AP50 on validation, %")
    left.legend(fontsize=8)
    for align, colour in ((0.0, OTHER), (1.0, GOOD)):
        smooth = torch.tensor(wrong[align]).unfold(0, 15, 1).mean(1)
        right.plot(torch.arange(len(smooth)) + 7, smooth, color=colour, label=f"align = {align:g}")
    right.axhline(torch.tensor(2.0).log(), color="black", linewidth=0.8, linestyle=":")
    right.set(xlabel="step", ylabel="judges' cross-entropy\n(dotted: a coin)")
    right.legend(fontsize=8)
    figure.suptitle("TITAN: two halves of the fog, told apart by how much detections vary, are to become alike", fontsize=10.5)
    return figure
