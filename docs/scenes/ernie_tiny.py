"""ERNIE-Tiny through its four stages: whom the student's hidden states are like, and what its tags are worth."""

import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.batch import each
from understudy.core.fit import fit
from understudy.core.run import artefact, start
from understudy.core.taps import tap
from understudy.worlds import WORLDS

STAGES = ("pretrained teacher\ngeneral text", "tuned teacher\ngeneral text", "tuned teacher\nthe task", "and its labels")
SIDES = {
    "ERNIE-Tiny, four stages": ("ernie-tiny", {}, "tab:red"),
    "two stages": ("ernie-tiny", {"enhanced": 0.0, "adaptive": 0.0}, "tab:orange"),
    "labels alone": ("alone", {}, "tab:gray"),
}


def scene() -> Figure:
    world = WORLDS["taggers"](1000, ready=True)
    fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for name, (method, how, colour) in SIDES.items():
        run = start(registry.get(method)(**how), world, 0, device="cpu")
        seen, near = [], []

        def look(r, seen=seen, near=near):
            if r.step % 15 == 0:
                seen.append((r.step, world.validate(artefact(r))))
                if getattr(r.method, "enhanced", 0):
                    near.append((r.step, *apart(r)))

        fit(run, after=look)
        right.plot(*zip(*seen, strict=True), color=colour, lw=2, label=name)
        if near:
            steps, was, now = zip(*near, strict=True)
            left.plot(steps, was, color="tab:blue", lw=2, label="to the teacher as pretrained")
            left.plot(steps, now, color="tab:red", lw=2, label="to the teacher as tuned")
    right.axhline(world.validate(world.teacher()), color="black", ls=":", label="teacher")
    for axis in (left, right):
        for k in range(1, 4):
            axis.axvline(k * world.steps / 4, color="black", lw=0.7, ls="--")
        for k, stage in enumerate(STAGES):
            axis.text(
                (k + 0.5) * world.steps / 4,
                1.01,
                stage,
                ha="center",
                va="bottom",
                fontsize=7.5,
                transform=axis.get_xaxis_transform(),
            )
        axis.set_xlabel("step")
    left.set(ylabel="mean square between last hidden states", ylim=(0, None))
    right.set(ylabel="tags that are right, validation", ylim=(0.5, 0.98))
    left.legend(fontsize=8)
    right.legend(fontsize=8, loc="lower left")
    return fig


@torch.no_grad()
def apart(run):
    """Of the student's last states, projected, to the teacher's before it was tuned, and after."""
    x = each(run.world.data.valid.x, lambda t: t[:100])
    mask = x["attention_mask"] > 0
    s = run["project"](tap(run["student"], "stage:-1", x)[1])
    return [(s - tap(run["teacher"], "stage:-1", x, before)[1])[mask].square().mean().item() for before in (True, False)]
