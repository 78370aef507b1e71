"""CIDer: a digit whole and in parts, and how often validation rows are answered right, by how much of them is missing and whether the
cue follows the digit."""

import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import artefact, start
from understudy.worlds.senses import BLANK, CUES, OWN, RATES, UNKNOWN, Part, senses


def word(i: int) -> str:
    """What a number of a word stands for."""
    if i >= UNKNOWN:
        return "?" if i < BLANK else "_"
    cue, filler = i - 10 * OWN, i - 10 * OWN - CUES
    return f"{i // OWN}{'abcd'[i % OWN]}" if cue < 0 else f"cue {2 * cue}/{2 * cue + 1}" if filler < 0 else "um"


def scene() -> Figure:
    world, method = senses(1000), get("cider")
    runs = {name: fit(start(method(**how), world, 1000, device="cpu"))
            for name, how in (("whole and masked rows", dict(method.card.baseline)), ("CIDer", {}))}  # fmt: skip
    batch = runs["CIDer"].method.source(runs["CIDer"])
    fig = Figure((11, 5.2), layout="constrained")
    left, right = fig.subfigures(1, 2, width_ratios=(1.1, 1))
    grid = left.subplots(2, 2, width_ratios=(1, 1.6))
    for axes, x, name in zip(grid, (batch.x, batch.part), ("whole: teaches", "in parts: learns"), strict=True):
        axes[0].imshow(x["vision"][0], cmap="gray", vmin=-2, vmax=2)
        axes[1].imshow(x["audio"][0].T, origin="lower", aspect="auto", cmap="magma", vmin=-2, vmax=2)
        axes[1].set_title(" ".join(map(word, x["text"][0].tolist())), fontsize=9)
        axes[0].set_ylabel(name, fontsize=10)
    for ax in grid.flat:
        ax.set(xticks=[], yticks=[])
    left.suptitle(f"a {int(batch.y[0])} that is written, spoken and remarked upon", fontsize=11)
    x, y, row = world.data.valid.x, world.data.valid.y, torch.arange(len(world.data.valid.y))
    for ax, odd, title in zip(
        right.subplots(2, 1, sharex=True), (0, 1), ("cue as in training", "cue drawn blindly"), strict=True
    ):
        for (name, run), colour in zip(runs.items(), ("tab:gray", "tab:blue"), strict=True):
            made, got = artefact(run), []
            for k in range(len(RATES)):
                i = (row % 2 == odd) & (row // 2 % len(RATES) == k)
                got.append(100 * world.measure(made, Part({n: t[i] for n, t in x.items()}, y[i]))["accuracy"])
            ax.plot([100 * r for r in RATES], got, "o-", color=colour, label=name)
        ax.set(ylabel="right (%)", ylim=(0, 100))
        ax.set_title(title, fontsize=10)
        ax.spines[["top", "right"]].set_visible(False)
    ax.set_xlabel("tokens that are missing (%)")
    ax.legend(frameon=False, fontsize=9)
    return fig
