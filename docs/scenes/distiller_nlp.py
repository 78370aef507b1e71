"""Twenty-four pipelines on five questions: how far each is above the mean of its column, and which choice that variance belongs
to (omega squared; what no single choice explains is left out). Means of seeds."""

import json
import statistics
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from understudy.studies.distiller_nlp import CHOICES, worth

STUDY = Path(__file__).parents[2] / "proofs" / "studies" / "distiller_nlp.json"
NAMES = {"mi": "MI-alpha", "cka": "CKA", "mse": "squared error"}


def scene() -> Figure:
    found = json.loads(STUDY.read_text())
    kinds, tables = found["grid"]["kind"], {}
    for c in found["cells"]:
        key = tuple((k, v) for k, v in c["at"].items() if k != "kind")
        tables.setdefault(c["at"]["kind"], {}).setdefault(key, []).append(c["got"]["accuracy"])
    means = {k: {p: statistics.mean(v) for p, v in t.items()} for k, t in tables.items()}
    above = {k: {p: 100 * (v - statistics.mean(t.values())) for p, v in t.items()} for k, t in means.items()}
    pipelines = sorted(means[kinds[0]], key=lambda p: -statistics.mean(above[k][p] for k in kinds))
    fig, (grid, bars) = plt.subplots(1, 2, figsize=(11.5, 6.4), width_ratios=(1.5, 1), layout="constrained")
    most = max(abs(v) for t in above.values() for v in t.values())
    image = grid.imshow([[above[k][p] for k in kinds] for p in pipelines], cmap="RdBu", vmin=-most, vmax=most, aspect="auto")
    for i, p in enumerate(pipelines):
        for j, k in enumerate(kinds):
            grid.text(j, i, f"{100 * means[k][p]:.0f}", ha="center", va="center", fontsize=7,
                      color="white" if abs(above[k][p]) > 0.65 * most else "black")  # fmt: skip
    said = lambda p: f"{NAMES[p['inside']]}, {p['layers']}" + ", left out" * (p["drop"] > 0) + ", mixed" * (p["mix"] > 0)
    grid.set_yticks(range(len(pipelines)), [said(dict(p)) for p in pipelines], fontsize=8)
    grid.set_xticks(range(len(kinds)), kinds)
    grid.set_title("test accuracy (%), best pipeline first", fontsize=10)
    fig.colorbar(image, ax=grid, label="points above the question's mean")
    shares = {k: worth(t) for k, t in means.items()}
    left = [0.0] * len(kinds)
    for choice, colour in zip(CHOICES, ("tab:red", "tab:blue", "tab:gray"), strict=True):
        width = [max(shares[k][choice], 0.0) for k in kinds]
        bars.barh(kinds, width, left=left, color=colour, label=choice)
        left = [a + b for a, b in zip(left, width, strict=True)]
    bars.invert_yaxis()
    bars.set(xlim=(0, 1), xlabel="share of the variance over pipelines")
    bars.legend(frameon=False, fontsize=8, loc="lower right")
    return fig
