"""What a linear probe makes of the student's features, against those of its random teacher, by how far from it the student began
(a) and what it saw: a line is a seed, the thick one their mean."""

import json
import statistics
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

STUDY = Path(__file__).parents[2] / "proofs" / "studies" / "random_teachers.json"


def scene() -> Figure:
    found = json.loads(STUDY.read_text())
    cells, far = found["cells"], found["grid"]["a"]
    fig, axes = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True, layout="constrained")
    for ax, inputs, colour in zip(axes, ("pictures", "noise"), ("tab:blue", "tab:gray"), strict=True):
        lines = []
        for seed in found["seeds"]:
            own = [c["got"] for a in far for c in cells if (c["seed"], c["at"]) == (seed, {"inputs": inputs, "a": a})]
            lines.append([100 * (g["student"] - g["teacher"]) for g in own])
            ax.plot(range(len(far)), lines[-1], "o-", color=colour, alpha=0.3, ms=4, lw=1)
        ax.plot(range(len(far)), [statistics.mean(v) for v in zip(*lines, strict=True)], "o-", color=colour, lw=2.5)
        ax.axhline(0, color="black", lw=0.8)
        ax.set_xticks(range(len(far)), [f"{a:g}" for a in far])
        ax.set(xlabel="a: begun close by (0) to afar (1)", title=f"taught by {inputs}")
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("probe's accuracy over the teacher's (points)")
    return fig
