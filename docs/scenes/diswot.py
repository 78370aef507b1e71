"""Forty untrained networks, and what each was after distillation (mean of the seeds, test rows): beside its size, and beside how like the
teacher it was at random weights. Kendall's tau says how far the one foretells the order of the other."""

import json
from pathlib import Path

from matplotlib.figure import Figure

FOUND = Path(__file__).parents[2] / "benchmarks" / "results" / "diswot.json"
SHOWN = {
    "parameters": "parameters",
    "diswot": "DisWOT score, mean of five random starts",
    "labels_alone": "accuracy on labels alone (%)",
}


def scene() -> Figure:
    found = json.loads(FOUND.read_text())
    rows = found["networks"]
    figure = Figure(figsize=(11, 3.9), layout="constrained")
    axes = figure.subplots(1, len(SHOWN), sharey=True)
    for axis, (name, said) in zip(axes, SHOWN.items(), strict=True):
        scale = 100 if name == "labels_alone" else 1
        near = [r for r in rows if 2_000 <= r["parameters"] <= 20_000]
        for part, colour, label in ((rows, "#b8b8c8", "other networks"), (near, "#355070", "2,000 to 20,000 parameters")):
            axis.scatter([scale * r[name] for r in part], [100 * r["distilled"] for r in part], s=26, color=colour, label=label)
        tau, alike = (found[of][name]["tau"] for of in ("tau_with_distilled", "tau_of_2k_to_20k_parameters"))
        axis.set_title(f"tau {tau:+.2f}\nof 2,000 to 20,000 parameters {alike:+.2f}", fontsize=10)
        axis.set(xlabel=said, xscale="log" if name == "parameters" else "linear")
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.2)
    axes[0].set_ylabel("accuracy after distillation (%)")
    axes[0].legend(frameon=False, fontsize=9, loc="lower right")
    return figure
