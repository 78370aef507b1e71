"""FST: where student and average are in the plane that the student's path spans most, with every trial step ahead, over a few steps;
and how right both kinds of average are on validation pictures."""

import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.methods.segmentation import fst
from understudy.parts.unroll import flat
from understudy.worlds.touching import touching

FIRST, LAST = 70, 80


def scene() -> Figure:
    runs = {
        "mean teacher": start(get("fst")(ahead=0), touching(1000), 1000, device="cpu"),
        "FST-D": start(get("fst")(), touching(1000), 1000, device="cpu"),
    }
    seen = {name: [] for name in runs}
    for name, run in runs.items():
        for step in range(0, 121, 12):
            fit(run, step)
            seen[name].append((step, run.world.validate(run["teacher"])))
    run, path, trials = start(get("fst")(), touching(1000), 1000, device="cpu"), [], []
    fit(run, FIRST)
    tried = fst.tried

    def noted(net, terms, length):
        before = flat(net).detach().clone()
        tried(net, terms, length)
        trials.append(torch.stack([before, flat(net).detach().clone()]))

    fst.tried = noted
    try:
        for _ in range(FIRST, LAST):
            path.append((flat(run["student"]).detach().clone(), flat(run["teacher"]).detach().clone()))
            fit(run, run.step + 1)
    finally:
        fst.tried = tried
    student, average = (torch.stack(side) for side in zip(*path, strict=True))
    middle = student.mean(0)
    plane = torch.linalg.svd(student - middle, full_matrices=False).Vh[:2].T
    at = lambda theta: ((theta - middle) @ plane).T
    figure = Figure((10.5, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.3, 1))
    for k, pair in enumerate(trials):
        left.plot(*at(pair), color="tab:orange", lw=1.5, label="steps on trial" if k == 0 else None)
    left.plot(*at(student), "o-", color="0.3", lw=1.5, ms=4, label="student")
    left.plot(*at(average), "s-", color="tab:blue", lw=1.5, ms=4, label="average, which follows the trials")
    left.set(xticks=[], yticks=[], title=f"weights, steps {FIRST} to {LAST}")
    left.legend(frameon=False, fontsize=8)
    for (name, found), colour in zip(seen.items(), ("0.5", "tab:blue"), strict=True):
        steps, dice = zip(*found, strict=True)
        right.plot(steps, [100 * d for d in dice], color=colour, lw=2, label=name)
    right.axvline(60, color="0.8", lw=1, zorder=0)
    right.set(xlabel="updates (labels alone up to the line)", ylabel="Dice of the average on validation pictures (%)")
    right.legend(frameon=False)
    right.spines[["top", "right"]].set_visible(False)
    return figure
