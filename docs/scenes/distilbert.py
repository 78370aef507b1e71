"""DistilBERT with each of its parts left out, as the paper does, and which of the teacher's blocks the student's are like."""

import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.batch import each
from understudy.core.fit import fit
from understudy.core.run import artefact, start
from understudy.core.taps import probe
from understudy.worlds import WORLDS

SIDES = {
    "DistilBERT": ({}, "tab:red"),
    "without cosine": ({"cos": 0.0}, "tab:orange"),
    "without masked words": ({"mlm": 0.0}, "tab:green"),
    "without the teacher's words": ({"ce": 0.0}, "tab:blue"),
    "random start": ({"start": "random"}, "black"),
    "masked words alone": ({"ce": 0.0, "cos": 0.0}, "tab:gray"),
}


def scene() -> Figure:
    world = WORLDS["halfencoders"](1000, ready=True)
    fig, (left, *maps) = plt.subplots(1, 3, figsize=(11, 4), width_ratios=(1.7, 1, 1), layout="constrained")
    for name, (off, colour) in SIDES.items():
        run = start(registry.get("distilbert")(**off), world, 0, device="cpu")
        seen = [(0, world.validate(artefact(run)))]
        before = alike(run) if not off else None
        fit(run, after=lambda r, seen=seen: seen.append((r.step, world.validate(artefact(r)))) if r.step % 25 == 0 else None)
        left.plot(*zip(*seen, strict=True), color=colour, lw=2, label=name)
        if before is not None:
            for axis, found, when in zip(maps, (before, alike(run)), ("at the first step", "at the last step"), strict=True):
                image = show(axis, found, when)
    left.axhline(world.validate(world.teacher()), color="black", ls=":", label="teacher")
    left.set(xlabel="step", ylabel="tags read off its hidden states, validation")
    left.legend(loc="lower right", fontsize=8)
    maps[0].set_ylabel("block of the student")
    fig.colorbar(image, ax=maps, label="mean cosine of hidden states", shrink=0.7)
    return fig


@torch.no_grad()
def alike(run):
    """Of each block of the student and each of the teacher; -> [M, N]"""
    x = each(run.world.data.check.x, lambda t: t[:100])
    mask = x["attention_mask"] > 0
    s, u = ([h[mask] for h in probe(run[name], "stages", x)] for name in ("student", "teacher"))
    return torch.stack([torch.stack([torch.cosine_similarity(a, b, dim=-1).mean() for b in u]) for a in s])


def show(axis, found, when):
    image = axis.imshow(found, cmap="viridis", vmin=0, vmax=1)
    for (i, j), value in zip(torch.cartesian_prod(torch.arange(found.shape[0]), torch.arange(found.shape[1])), found.flatten()):
        axis.text(j, i, f"{value:.2f}", ha="center", va="center", color="black" if value > 0.6 else "white", fontsize=9)
    axis.set(xticks=range(found.shape[1]), yticks=range(found.shape[0]), xlabel="block of the teacher")
    axis.set_xticklabels([str(j + 1) for j in range(found.shape[1])])
    axis.set_yticklabels([str(i + 1) for i in range(found.shape[0])])
    axis.set_title(when, fontsize=10)
    return image
