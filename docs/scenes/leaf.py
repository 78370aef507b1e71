"""LeaF: what was cut out of eight problems, and how the student answers once that word says nothing."""

import torch.nn.functional as F
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.fit import fit
from understudy.core.run import start
from understudy.parts.prompts import answered
from understudy.parts.saliency import sensitivity, unit_range
from understudy.worlds import WORLDS

ROWS = 8


def scene() -> Figure:
    world = WORLDS["distractors"](1000, ready=True)
    fig, (left, right) = plt.subplots(1, 2, figsize=(12, 4.4), width_ratios=(2.1, 1), layout="constrained")
    for name, lam, colour in (("KD", 1.0, "tab:gray"), ("LeaF", 0.5, "tab:red")):
        run = start(registry.get("leaf")(lam=lam), world, 0, device="cpu")
        if lam < 1:
            heeded(left, run)
        seen = [(0, world.validate(run["student"]))]
        fit(run, after=lambda r, seen=seen: seen.append((r.step, world.validate(r["student"]))) if r.step % 20 == 0 else None)
        right.plot(*zip(*seen, strict=True), color=colour, label=name, lw=2)
    right.axhline(world.validate(run["teacher"]), color="black", ls=":", label="teacher")
    right.set(xlabel="step", ylabel="answered right where the word says nothing", ylim=(0, 1.02))
    right.legend(loc="center right")
    return fig


def heeded(ax, run):
    """Words coloured by d: red is what the student heeds and the teacher doesn't; struck out is what was cut."""
    batch = run.rows()
    x, y = batch.x[:ROWS], batch.y[:ROWS]
    error = lambda out: F.cross_entropy(out.flatten(0, 1), y.flatten(), ignore_index=-1, reduction="sum")
    g = {k: unit_range(sensitivity(run[k], "lm.transformer.wte", x, error), answered(y)[0]) for k in ("teacher", "student")}
    apart = g["teacher"] - g["student"]
    drop = run["cuts"].drop[batch.row[:ROWS]]
    for i in range(ROWS):
        for j in range(int(answered(y)[0][i].sum()) + 1):
            shade = apart[i, j].item() if answered(y)[0][i, j] else 0.0
            word = run.world.data.words.words[x[i, j]]
            ax.text(j, i, word, ha="center", va="center", fontsize=9, color="white" if abs(shade) > 0.6 else "black",
                    bbox={"facecolor": plt.get_cmap("RdBu")(0.5 + shade / 2), "edgecolor": "black" if drop[i, j] else "none",
                          "boxstyle": "round,pad=0.25"})  # fmt: skip
    ax.set(xlim=(-0.6, x.shape[1] - 2.4), ylim=(ROWS - 0.4, -0.6), xticks=[], yticks=[])
    ax.set_title("red: heeded by the student alone, blue: by the teacher; framed: cut out", fontsize=10)
    ax.spines[:].set_visible(False)
