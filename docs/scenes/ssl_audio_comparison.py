"""Accuracy on the test rows of each way to learn from spoken digits of which a tenth is labelled: a dot is a seed, a bar their
mean, and a line joins the two trainings of a seed without and with mixup. The dashed line is the mean of the labels alone."""

import json
import statistics
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

STUDY = Path(__file__).parents[2] / "proofs" / "studies" / "ssl_audio_comparison.json"
NAMES = {
    "supervised": "labels alone",
    "DCT": "Deep Co-Training",
    "MT": "Mean Teacher",
    "MM": "MixMatch",
    "RMM": "ReMixMatch",
    "FM": "FixMatch",
}


def scene() -> Figure:
    cells = json.loads(STUDY.read_text())["cells"]
    fig, ax = plt.subplots(figsize=(10.5, 4.4), layout="constrained")
    low = min(100 * c["got"]["accuracy"] for c in cells)
    score = lambda method, mixup: [100 * c["got"]["accuracy"] for c in cells if c["at"] == {"method": method, "mixup": mixup}]
    for i, method in enumerate(NAMES):
        for j, (mixup, colour) in enumerate(((0.0, "tab:gray"), (0.75, "tab:orange"))):
            got, x = score(method, mixup), i + 0.36 * (j - 0.5)
            ax.bar(
                x,
                statistics.mean(got),
                0.32,
                color=colour,
                alpha=0.35,
                label=("without mixup", "with mixup")[j] if not i else None,
            )
            ax.plot([x] * len(got), got, "o", color=colour, ms=4)
            ax.text(x, low - 2.5, f"{statistics.mean(got):.1f}", ha="center", fontsize=9)
        for pair in zip(score(method, 0.0), score(method, 0.75), strict=True):
            ax.plot([i - 0.18, i + 0.18], pair, color="0.6", lw=0.6, zorder=0)
    ax.axhline(statistics.mean(score("supervised", 0.0)), color="black", ls="--", lw=0.8)
    ax.set(xticks=range(len(NAMES)), xticklabels=NAMES.values(), ylabel="accuracy on the test rows (%)", ylim=(low - 3, 97))
    ax.legend(frameon=False, ncols=2, loc="upper left")
    return fig
