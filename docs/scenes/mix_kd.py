"""Accuracy of students on the test rows, by who taught them and how many of their rows were mixed; a dot is a seed, a line goes
through their means. Left with a temperature of 4, right with each answer's own deviation."""

import json
import statistics
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

STUDY = Path(__file__).parents[2] / "proofs" / "studies" / "mix_kd.json"
TEACHERS = {"plain": ("tab:blue", "a plain teacher"), "mixed": ("tab:orange", "one that learned from mixed rows")}
MIXED = {"none": "none", "partial": "a tenth", "full": "all"}


def scene() -> Figure:
    cells = json.loads(STUDY.read_text())["cells"]
    fig, axes = plt.subplots(1, 2, figsize=(9.5, 4), sharey=True, layout="constrained")
    for ax, t, title in zip(axes, ("4", "std"), ("temperature 4", "temperature: the logits' deviation"), strict=True):
        for j, (teacher, (colour, name)) in enumerate(TEACHERS.items()):
            got = [
                [100 * c["got"]["accuracy"] for c in cells if c["at"] == {"teacher": teacher, "mixed": m, "t": t}] for m in MIXED
            ]
            x = [i + 0.12 * (2 * j - 1) for i in range(len(MIXED))]
            ax.plot(x, [statistics.mean(g) for g in got], "-", color=colour, label=name)
            for place, seeds in zip(x, got, strict=True):
                ax.plot([place] * len(seeds), seeds, "o", color=colour, ms=4, alpha=0.6)
        ax.set_xticks(range(len(MIXED)), MIXED.values())
        ax.set(xlabel="of the student's rows mixed", title=title)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("accuracy (%)")
    axes[1].legend(frameon=False, fontsize=9, title="taught by", loc="lower center")
    return fig
