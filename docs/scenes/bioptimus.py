"""BIOptimus: where a trade's new words begin, by three ways to begin, and what that is worth."""

import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.fit import fit
from understudy.core.run import artefact, start
from understudy.worlds import WORLDS

SIDES = {
    "random": ("at random", "tab:gray"),
    "pieces": ("as the mean of their pieces", "tab:blue"),
    "context": ("as states in context", "tab:red"),
}
KINDS = {
    "noun, one": ("o", "tab:orange"),
    "noun, many": ("s", "tab:red"),
    "verb, one": ("o", "tab:cyan"),
    "verb, many": ("s", "tab:blue"),
}


def scene() -> Figure:
    world = WORLDS["jargon"](1000, ready=True)
    fig, (*maps, right) = plt.subplots(1, 4, figsize=(13, 3.7), width_ratios=(1, 1, 1, 1.4), layout="constrained")
    kinds = kinds_of(world)
    for axis, (begin, (label, colour)) in zip(maps, SIDES.items(), strict=True):
        run = start(registry.get("bioptimus")(begin=begin), world, 0, device="cpu")
        where(axis, run["student"].bert.embeddings.word_embeddings.weight.detach()[world.data.old :], kinds)
        axis.set_title(f"new words begin\n{label}", fontsize=10)
        seen = [(0, world.validate(artefact(run)))]
        fit(run, after=lambda r, seen=seen: seen.append((r.step, world.validate(artefact(r)))) if r.step % 20 == 0 else None)
        right.plot(*zip(*seen, strict=True), color=colour, lw=2, label=label)
    maps[0].legend(fontsize=7.5, loc="best")
    phases = ("tokens", "whole words", "more of them", "masks only")
    for k, phase in enumerate(phases):
        if k:
            right.axvline(k * world.steps / 4, color="black", lw=0.7, ls="--")
        right.text(
            (k + 0.5) * world.steps / 4, 1.01, phase, ha="center", va="bottom", fontsize=8, transform=right.get_xaxis_transform()
        )
    right.set(xlabel="step", ylabel="tags read off its hidden states, validation")
    right.legend(fontsize=8, loc="lower right")
    return fig


def kinds_of(world):
    """Which of the new tokens is what, as the tags say that stand on them."""
    found = {}
    for part in (world.data.few, world.data.check):
        for token, tag in zip(part.x["input_ids"].flatten().tolist(), part.y.flatten().tolist(), strict=True):
            if token >= world.data.old:
                role, number = world.data.tags[tag].split(".")
                found[token - world.data.old] = f"{'verb' if role == 'verb' else 'noun'}, {'one' if number == 'sg' else 'many'}"
    return found


def where(axis, vectors, kinds):
    """The two directions in which the new tokens differ most."""
    middle = vectors - vectors.mean(0)
    flat = middle @ torch.linalg.svd(middle, full_matrices=False).Vh[:2].T
    for kind, (marker, colour) in KINDS.items():
        rows = [i for i, k in kinds.items() if k == kind]
        axis.scatter(*flat[rows].T, marker=marker, color=colour, s=26, label=kind, edgecolors="white", linewidths=0.5)
    axis.set(xticks=[], yticks=[])
