"""What students of three sizes learned from teachers of five, as the likelihood of a word over that from the smallest teacher;
thin lines are seeds, a ring is the best teacher of a student. On the right where the best ones lie, beside the law of the
paper."""

import json
import math
import statistics
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

STUDY = Path(__file__).parents[2] / "proofs" / "studies" / "minima_capacity_gap.json"
COLOURS = ("tab:blue", "tab:orange", "tab:red")


def scene() -> Figure:
    found = json.loads(STUDY.read_text())
    cells, students, teachers = found["cells"], found["grid"]["student"], found["grid"]["teacher"]
    got = {(c["at"]["student"], c["at"]["teacher"], c["seed"]): c["got"] for c in cells}
    told = lambda s, t, seed: got[s, t, seed]["likelihood"]
    fig, (left, mid, right) = plt.subplots(1, 3, figsize=(12.5, 4.2), width_ratios=(1.5, 1, 1), layout="constrained")
    sizes = [got[students[0], t, 0]["sizes"][1] for t in teachers]
    for s, colour in zip(students, COLOURS, strict=True):
        lines = [[told(s, t, seed) - told(s, teachers[0], seed) for t in teachers] for seed in found["seeds"]]
        mean = [statistics.mean(v) for v in zip(*lines, strict=True)]
        own = got[s, teachers[0], 0]["sizes"][0]
        for line in lines:
            left.plot(sizes, line, color=colour, lw=0.6, alpha=0.4)
            right.plot(
                own * math.exp(0.03 * (lines.index(line) - 1.5)), sizes[line.index(max(line))], ".", color=colour, alpha=0.6
            )
        left.plot(sizes, mean, "o-", color=colour, label=f"student of {own / 1000:.1f} thousand")
        best = mean.index(max(mean))
        left.plot(sizes[best], mean[best], "o", mfc="none", mec="black", ms=13)
        right.plot(own, sizes[best], "o", color=colour, ms=9)
    skills = [[got[students[0], t, seed]["teacher"] for t in teachers] for seed in found["seeds"]]
    for line in skills:
        mid.plot(sizes, line, color="black", lw=0.6, alpha=0.4)
    mid.plot(sizes, [statistics.mean(v) for v in zip(*skills, strict=True)], "ko-")
    small, big = (got[s, teachers[0], 0]["sizes"][0] for s in (students[0], students[-1]))
    right.plot([small, big], [2.5 * small, 2.5 * big], "k--", lw=1, label="2.5 times the student")
    left.set(xscale="log", xlabel="parameters of the teacher", ylabel="nats a word over the smallest teacher's")
    mid.set(xscale="log", xlabel="parameters of the teacher", ylabel="the teacher's own log-likelihood")
    right.set(xscale="log", yscale="log", xlabel="parameters of the student", ylabel="of its best teacher")
    for ax in (left, right):
        ax.legend(fontsize=8, frameon=False)
    for ax, axis, ticks in ((left, "x", sizes), (mid, "x", sizes), (right, "y", sizes), (right, "x", (5000, 10000))):
        getattr(ax, f"set_{axis}ticks")(ticks, [f"{t / 1000:.0f}k" for t in ticks])
        getattr(ax, f"{axis}axis").set_minor_locator(plt.NullLocator())
    return fig
