"""LSSKD: a digit in four poses, what its classifiers say of each (class and pose at once), and what the network itself reads."""

import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.parts.poses import posed
from understudy.worlds.figures import figures
from understudy.worlds.rows import answers

POSES = ("upright", "a quarter", "a half", "three quarters")


def scene() -> Figure:
    world = figures(1000)
    run, valid = start(get("lsskd")(), world, 1000, device="cpu"), world.data.valid
    pose = torch.arange(4).repeat_interleave(len(valid.y))
    turned, label, seen = posed(valid.x.repeat(4, 1, 1, 1), pose), 10 * pose + valid.y.repeat(4), []
    for step in range(0, world.steps + 1, 15):
        fit(run, step)
        with torch.no_grad():
            _, stages = run.tap("student", "stages", turned)
            said = [head(f) for head, f in zip(run["student"].heads, stages, strict=True)]
        right = [(c.argmax(1) == label).double().mean().item() for c in said]
        seen.append((step, *right, (answers(run["student"], valid.x).argmax(1) == valid.y).double().mean().item()))
    figure, which = Figure((11, 4.2), layout="constrained"), int((valid.y == 4).nonzero()[0])
    left, right = figure.subfigures(1, 2, width_ratios=(1.35, 1))
    axes = left.subplots(2, 4, height_ratios=(1, 1))
    for j in range(4):
        row = j * len(valid.y) + which
        axes[0, j].imshow(turned[row, 0], cmap="gray")
        axes[0, j].set(xticks=[], yticks=[], title=POSES[j])
        p = said[-1][row].softmax(0).view(4, 10)
        axes[1, j].imshow(p, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axes[1, j].set(xticks=range(10), yticks=range(4) if not j else [], xlabel="class")
    axes[1, 0].set_ylabel("quarters turned")
    left.suptitle("the last classifier's answer to each pose", fontsize=11)
    ax = right.subplots()
    steps, *curves = torch.tensor(seen).T
    names = ("classifier behind stage 1: class and pose", "classifier behind stage 2: class and pose", "the network: class")
    for values, colour, name in zip(curves, ("tab:orange", "tab:red", "black"), names, strict=True):
        ax.plot(steps, 100 * values, color=colour, lw=2, label=name)
    ax.set(xlabel="updates", ylabel="right, % of validation rows", ylim=(0, 102))
    right.legend(frameon=False, loc="outside upper center")
    return figure
