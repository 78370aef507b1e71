"""TinyBERT layer by layer: how far each is from the teacher's, which of them it comes closest to, and what that is worth."""

import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.batch import each
from understudy.core.fit import fit
from understudy.core.run import artefact, start
from understudy.core.taps import probe
from understudy.parts.blocks import uniform
from understudy.worlds import WORLDS


def scene() -> Figure:
    world = WORLDS["encoders"](1000, ready=True)
    fig, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.9), width_ratios=(1.3, 1.3, 1), layout="constrained")
    for name, first, colour in (("TinyBERT", 0.87, "tab:red"), ("predictions alone", 0.0, "tab:gray")):
        run = start(registry.get("tinybert")(first=first), world, 0, device="cpu")
        seen, far = [(0, world.validate(artefact(run)))], [(0, apart(run))]

        def look(r, seen=seen, far=far):
            if r.step % 20 == 0:
                seen.append((r.step, world.validate(artefact(r))))
                far.append((r.step, apart(r)))

        fit(run, after=look)
        left.plot(*zip(*seen, strict=True), color=colour, lw=2, label=name)
        if first:
            pairs = [(0, 0), *((m + 1, n + 1) for m, n in enumerate(uniform(2, 3)))]
            for (m, n), label in zip(pairs, ("embeddings", "block 1 to block 2", "block 2 to block 3"), strict=True):
                middle.plot([s for s, _ in far], [f[m, n].item() for _, f in far], lw=2, label=label)
            for axis in (left, middle):
                axis.axvline(first * world.steps, color="black", lw=0.8, ls="--")
            square(right, far[-1][1], pairs)
    left.axhline(world.validate(world.teacher()), color="black", ls=":", label="teacher")
    left.set(xlabel="step", ylabel="tags read off its hidden states, validation")
    left.text(0.87 * world.steps - 4, left.get_ylim()[0], "predictions\nfrom here on", ha="right", va="bottom", fontsize=8)
    left.legend(fontsize=8, loc="center right", bbox_to_anchor=(1, 0.42))
    middle.set(xlabel="step", ylabel="mean square between projected states", yscale="log")
    middle.yaxis.set_minor_formatter("")
    middle.set_yticks([0.2, 0.5, 1.0], ["0.2", "0.5", "1"])
    middle.legend(fontsize=8)
    return fig


@torch.no_grad()
def apart(run):
    """Mean squared difference of every layer of the student, projected, to every one of the teacher; -> [M + 1, N + 1]"""
    x = each(run.world.data.check.x, lambda t: t[:100])
    mask = x["attention_mask"] > 0
    s, u = (probe(run[name], ("bert.embeddings", "stages"), x) for name in ("student", "teacher"))
    to = [run["embed"], *[run["project"]] * (len(s) - 1)]
    return torch.stack([torch.stack([(f(a) - b)[mask].square().mean() for b in u]) for f, a in zip(to, s, strict=True)])


def square(axis, found, pairs):
    image = axis.imshow(found, cmap="magma_r", vmin=0)
    for i, row in enumerate(found.tolist()):
        for j, value in enumerate(row):
            ink, weight = "white" if value > found.max() / 2 else "black", "bold" if (i, j) in pairs else "normal"
            axis.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=9, color=ink, weight=weight)
    names = ("emb.", "1", "2", "3")
    axis.set(
        xticks=range(found.shape[1]), yticks=range(found.shape[0]), xlabel="layer of the teacher", ylabel="layer of the student"
    )
    axis.set_xticklabels(names[: found.shape[1]])
    axis.set_yticklabels(names[: found.shape[0]])
    axis.set_title("mean square at the last step;\nbold: the pairs that were learned", fontsize=9)
    return image
