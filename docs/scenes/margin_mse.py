"""Margin-MSE: the student's margins land on the teacher's, and its documents come out in a better order."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.fit import fit
from understudy.core.run import start
from understudy.parts.ranking import margins
from understudy.worlds import WORLDS

NAMES = {"alone": "from judgements alone", "margin-mse": "Margin-MSE"}


def scene() -> Figure:
    """Left: preferences of both students against the teacher's, on queries that none has seen. Right: the ranking that they give."""
    world = WORLDS["library"](1000, ready=True)
    rows, teacher = world.data.valid, world.teacher()
    pick = torch.stack(
        [torch.randperm(rows.y.shape[1], generator=torch.Generator().manual_seed(q))[:8] for q in range(len(rows.y))]
    )
    x = {"query": rows.x["query"], "document": world.data.document[pick]}
    figure = Figure(figsize=(9, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    marks = {"BM25": (world.words()["ndcg@10"], "#999999")}
    with torch.no_grad():
        wanted = margins(teacher(x)).flatten()
    for name, colour in zip(NAMES, ("#d98a00", "#1f6fb4"), strict=True):
        student = fit(start(registry.get(name)(), world, 1000, device="cpu"))["student"]
        with torch.no_grad():
            got = margins(student(x)).flatten()
        r = torch.corrcoef(torch.stack([wanted, got]))[0, 1].item()
        left.scatter(wanted, got, s=7, alpha=0.45, lw=0, color=colour, label=f"{NAMES[name]} (r = {r:.2f})")
        marks[NAMES[name]] = world.measure(student, rows)["ndcg@10"], colour
    marks["teacher"] = world.measure(teacher, rows)["ndcg@10"], "#333333"
    ends = (wanted.min().item(), wanted.max().item())
    left.plot(ends, ends, color="#333333", lw=1, ls="--", label="as the teacher")
    left.set(xlabel="teacher's margin between two documents", ylabel="student's margin", title="By how much one is preferred")
    left.legend(frameon=False, fontsize=8, loc="upper left", markerscale=2)
    bars = right.barh(list(marks), [v for v, _ in marks.values()], color=[c for _, c in marks.values()], height=0.6)
    right.bar_label(bars, fmt="%.2f", padding=3)
    right.invert_yaxis()
    right.set(xlim=(0, 1), xlabel="nDCG@10, 80 new queries", title="The order that comes of it")
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    return figure
