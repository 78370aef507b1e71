"""Distance to the oracle against distance to the teacher while a student learns from one: where a line turns up, the student
has begun to take over the teacher's mistakes. Beside it the distance to the oracle by step; thin lines are seeds."""

import json
import statistics
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

STUDY = Path(__file__).parents[2] / "proofs" / "studies" / "teacher_hacking.json"
LOOKS = {
    "few prompts": ("tab:purple", "16 prompts, 4 answers each, kept"),
    "offline": ("tab:red", "64 prompts, 1 answer each, kept"),
    "many answers": ("tab:orange", "64 prompts, 8 answers each, kept"),
    "on-policy": ("tab:green", "64 prompts, the student's own answers"),
    "online": ("tab:blue", "64 prompts, new answers of the teacher"),
}


def scene() -> Figure:
    cells = json.loads(STUDY.read_text())["cells"]
    fig, (plane, time) = plt.subplots(1, 2, figsize=(11.5, 4.6), layout="constrained")
    for source, (colour, label) in LOOKS.items():
        got = [c["got"] for c in cells if c["at"]["source"] == source]
        mean = {k: [statistics.mean(v) for v in zip(*(g[k] for g in got), strict=True)] for k in ("golden", "proxy", "steps")}
        for g in got:
            time.plot(g["steps"], g["golden"], color=colour, lw=0.6, alpha=0.35)
        plane.plot(mean["proxy"], mean["golden"], ".-", color=colour, label=label)
        time.plot(mean["steps"], mean["golden"], color=colour, lw=2)
        low = min(range(len(mean["golden"])), key=mean["golden"].__getitem__)
        for ax, x in ((plane, mean["proxy"]), (time, mean["steps"])):
            ax.plot(x[low], mean["golden"][low], "o", mfc="white", mec=colour, ms=8, zorder=5)
    teacher = statistics.mean(c["got"]["teacher"] for c in cells)
    time.axhline(teacher, color="black", ls=":", label="the teacher itself")
    plane.invert_xaxis()
    plane.set(xlabel="KL from the teacher, nats a word (learning goes right)", ylabel="KL from the oracle, nats a word")
    time.set(xlabel="step")
    plane.legend(fontsize=8, frameon=False, title="o: its lowest point", title_fontsize=8)
    time.legend(fontsize=8, frameon=False)
    return fig
