"""MiniLLM: how fast the student's writing comes near the teacher's, and which words cost it what, before and after."""

import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.fit import fit
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.parts.writing import said
from understudy.worlds import WORLDS
from understudy.worlds.texts import tokenised

ROWS = 14
RUNS = {
    "word-kd": ("word-kd", {}, "tab:gray"),
    "MiniLLM": ("minillm", {}, "tab:red"),
    "writes without the teacher (alpha 0)": ("minillm", {"alpha": 0.0}, "tab:orange"),
    "R neither a mean nor whitened": ("minillm", {"norm": "no", "whiten": "no"}, "tab:blue"),
}


def scene() -> Figure:
    world = WORLDS["writing"](1000, ready=True)
    fig, (left, before, after) = plt.subplots(1, 3, figsize=(12, 4.4), width_ratios=(1.25, 1, 1), layout="constrained")
    for name, (method, fields, colour) in RUNS.items():
        run = start(registry.get(method)(**fields), world, 1000, device="cpu")
        seen = [(0, -world.validate(run["student"]))]
        if name == "MiniLLM":
            costs(before, run, "before the first update")
        fit(run, after=lambda r, seen=seen: seen.append((r.step, -world.validate(r["student"]))) if r.step % 10 == 0 else None)
        left.plot(*zip(*seen, strict=True), "o-", ms=3, color=colour, label=name)
        if name == "MiniLLM":
            image = costs(after, run, "after the last")
    left.set(xlabel="updates", ylabel="KL(s || u) of a word that it writes (nats)")
    left.legend(frameon=False, fontsize=9)
    fig.colorbar(image, ax=after, label="r = log u - log s  (nats)")
    return fig


@torch.no_grad()
def costs(ax, run, when):
    """What the student writes after some prompts, each word in the colour of its reward."""
    with stream("scene"):
        wrote = run.world.play(run["student"], {k: v[:ROWS] for k, v in run.world.data.valid.prompt.items()})
    s, u = (said(run[name](wrote.x), wrote.y) for name in ("student", "teacher"))
    first, words = wrote.prompt["input_ids"].shape[1] - 1, tokenised(600_000, 512)[1]
    image = ax.imshow((u - s)[:, first:], cmap="RdBu", vmin=-6, vmax=6, aspect="auto")
    for i, row in enumerate(wrote.y[:, first:].tolist()):
        for j, word in enumerate(row):
            text = shown(words.decode([word])) if word >= 0 else ""
            pale = (u - s)[i, first + j].abs() < 4
            ax.text(j, i, text[:4], ha="center", va="center", fontsize=6.5, family="monospace", color="black" if pale else "white", parse_math=False)  # fmt: skip
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set(title=when, xlabel="words written")
    return image


def shown(word):
    """With marks for what can't be seen, and for what can't be drawn."""
    word = word.replace("\n", "⏎").replace(" ", "·")
    return "".join(c if c.isprintable() else "▯" for c in word)
