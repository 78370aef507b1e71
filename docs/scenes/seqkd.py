"""Sequence-level distillation: how likely the teacher finds what there is to learn from, and what the student writes after having learned it."""

import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.fit import fit
from understudy.core.run import artefact, start
from understudy.core.seeds import stream
from understudy.parts.writing import said
from understudy.worlds import WORLDS


@torch.no_grad()
def liked(world, batch):
    """The teacher's log-likelihood of a word, mean over each text."""
    logp, wrote = said(world.given_teacher(batch.x), batch.y), batch.y >= 0
    return (logp.sum(1) / wrote.sum(1)).tolist()


def scene() -> Figure:
    world = WORLDS["writing"](1000, ready=True)
    fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4), sharex=True, layout="constrained")
    valid = world.data.valid
    people = type(world.rows(0))(x=valid.x, y=valid.y)
    with stream("scene"):
        given = {
            "by people": (people, "tab:gray"), "drawn from the teacher": (world.play(world.teacher(), valid.prompt), "tab:orange"),
            "the teacher's likeliest": (world.play(world.teacher(), valid.prompt, greedy=True), "tab:red"),
        }  # fmt: skip
    bins = [-10 + 0.2 * k for k in range(51)]
    for name, (batch, colour) in given.items():
        left.hist(liked(world, batch), bins, color=colour, alpha=0.55, label=name)
    methods = {
        "by people": ("alone", {}),
        "drawn from the teacher": ("seqkd", {"how": "sampled"}),
        "the teacher's likeliest": ("seqkd", {}),
    }
    for name, (method, fields) in methods.items():
        run = fit(start(registry.get(method)(**fields), world, 1000, device="cpu"))
        with stream("scene"):
            wrote = world.play(artefact(run), valid.prompt)
        score = world.validate(artefact(run))
        right.hist(liked(world, wrote), bins, color=given[name][1], alpha=0.55, label=f"{name}: KL to the teacher {-score:.2f}")
    left.set(title="what is learned from", xlabel="log u, nats a word (mean over a text)", ylabel="texts")
    right.set(title="what the student then writes", xlabel="log u, nats a word (mean over a text)")
    right.set_ylim(top=1.35 * right.get_ylim()[1])
    for axis in (left, right):
        axis.legend(frameon=False, fontsize=9, loc="upper left" if axis is left else "upper right")
    return fig
