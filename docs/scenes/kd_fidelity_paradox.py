"""What a teacher was worth to a student, by the student's size, and against how often the two agree: within a size who agrees
more gains more."""

import json
import statistics
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

STUDY = Path(__file__).parents[2] / "proofs" / "studies" / "kd_fidelity_paradox.json"
COLOURS = {"small": "tab:blue", "large": "tab:red", "novice": "tab:gray"}
MARKS = {1.0: "o", 4.0: "s", 16.0: "^"}


def scene() -> Figure:
    cells = json.loads(STUDY.read_text())["cells"]
    sizes = sorted({c["at"]["student"] for c in cells})
    fig, axes = plt.subplots(1, 1 + len(sizes), figsize=(12, 3.8), width_ratios=(1.4, *(1,) * len(sizes)), layout="constrained")
    for teacher, colour in COLOURS.items():
        gains = [[c["got"]["gain"] for c in cells if (c["at"]["student"], c["at"]["teacher"]) == (s, teacher)] for s in sizes]
        means = [100 * statistics.mean(g) for g in gains]
        skill = statistics.mean(c["got"]["teacher"] for c in cells if c["at"]["teacher"] == teacher)
        axes[0].plot(range(len(sizes)), means, "o-", color=colour, label=f"{teacher} teacher ({100 * skill:.0f} %)")
    axes[0].axhline(0, color="black", lw=0.7)
    axes[0].set(xlabel="student's first channels", ylabel="gain over the student alone (points)")
    axes[0].set_xticks(range(len(sizes)), sizes)
    axes[0].legend(fontsize=8, frameon=False)
    for ax, size in zip(axes[1:], sizes, strict=True):
        for c in (c for c in cells if c["at"]["student"] == size):
            ax.scatter(100 * c["got"]["fidelity"], 100 * c["got"]["gain"], color=COLOURS[c["at"]["teacher"]], s=18, alpha=0.8,
                       marker=MARKS[c["at"]["t"]], linewidths=0)  # fmt: skip
        ax.axhline(0, color="black", lw=0.7)
        ax.set_title(f"student {size}", fontsize=10)
        ax.set_xlabel("agreement (%)")
    axes[1].legend(handles=[plt.Line2D([], [], ls="", marker=m, color="black", label=f"t = {t:g}") for t, m in MARKS.items()],
                   fontsize=8, frameon=False)  # fmt: skip
    return fig
