"""Distilling step-by-step: the same labels with and without reasons, and what the student answers to either prefix."""

import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.fit import fit
from understudy.core.run import start
from understudy.worlds import WORLDS
from understudy.worlds.problems import Writer

ROWS = 7


def scene() -> Figure:
    world = WORLDS["reasons"](1000, ready=True)
    fig, (left, right) = plt.subplots(1, 2, figsize=(12, 4.2), width_ratios=(1, 2), layout="constrained")
    for lam, colour in ((0.0, "tab:gray"), (1.0, "tab:orange"), (3.0, "tab:red")):
        run = start(registry.get("distilling-step-by-step")(lam=lam), world, 0, device="cpu")
        seen = [(0, world.validate(run["student"]))]
        fit(run, after=lambda r, seen=seen: seen.append((r.step, world.validate(r["student"]))) if r.step % 25 == 0 else None)
        name = rf"labels and reasons, $\lambda$ = {lam:g}" if lam else "labels alone"
        left.plot(*zip(*seen, strict=True), color=colour, lw=2, label=name)
    left.set(xlabel="step", ylabel="answers right, validation", ylim=(0, None))
    left.legend(loc="upper left")
    said(right, run)
    return fig


@torch.no_grad()
def said(ax, run):
    """Problems that the last student hasn't seen: its reasons, its answer, and what is true."""
    part, text = run.world.data.valid, run.world.data.words.text
    ask, steps = part.more["ask"][:ROWS], part.steps[:ROWS]
    written = Writer(run["student"], steps.shape[1])(ask)
    answers = run["student"](part.x[:ROWS]).argmax(-1)
    ax.axis("off")
    columns = ("asked", "[rationale]", "[label]", "true")
    at = (0.0, 0.56, 0.84, 0.94)
    for x, name in zip(at, columns, strict=True):
        ax.text(x, 1, name, weight="bold", va="top")
    for i in range(ROWS):
        true = text(part.y[i].clamp(min=0))
        answer = text(answers[i][part.y[i] >= 0][:1])
        why, right = text(written[i].clamp(min=0)), text(steps[i].clamp(min=0))
        cells = ((text(ask[i][1:]).replace(" .", "."), "black"), (why, "tab:green" if why == right else "tab:red"),
                 (answer, "tab:green" if answer == true else "tab:red"), (true, "black"))  # fmt: skip
        for x, (word, colour) in zip(at, cells, strict=True):
            ax.text(x, 0.88 - i * 0.13, word, color=colour, va="top", fontsize=9, family="monospace")
