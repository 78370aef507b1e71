"""MGSR: the worst word of a text is put right and the rest written anew; and what each of its three ideas does to the student's writing."""

import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.fit import fit
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.parts.divergence import kl
from understudy.parts.writing import Corrected
from understudy.worlds import WORLDS
from understudy.worlds.texts import tokenised

ROWS = 7
LESS = {
    "all of it": ({}, "tab:red"),
    "nothing put right": ({"correct": 0}, "tab:orange"),
    "nothing clipped": ({"clip": "none"}, "tab:blue"),
    "no spans": ({"gamma": 0.0}, "tab:green"),
    "none of it": ({"correct": 0, "clip": "none", "gamma": 0.0}, "tab:gray"),
}


def scene() -> Figure:
    world = WORLDS["writing"](1000, ready=True)
    run = start(registry.get("mgsr-llm")(), world, 1000, device="cpu")
    fig, (left, right) = plt.subplots(1, 2, figsize=(11.5, 4.6), width_ratios=(1.7, 1), layout="constrained")
    image = revised(left, run)
    fig.colorbar(image, ax=left, label="KL(u || s) at the word (nats)")
    for name, (fields, colour) in LESS.items():
        run = start(registry.get("mgsr-llm")(**fields), world, 1000, device="cpu")
        seen = [(0, -world.validate(run["student"]))]
        fit(run, after=lambda r, seen=seen: seen.append((r.step, -world.validate(r["student"]))) if r.step % 15 == 0 else None)
        right.plot(*zip(*seen, strict=True), "o-", ms=3, color=colour, label=name)
    right.set(xlabel="update", ylabel="KL(s || u) of a word that it writes (nats)")
    right.legend(frameon=False, fontsize=9)
    return fig


@torch.no_grad()
def revised(ax, run):
    """Each text twice: as it was written, and put right."""
    world, words = run.world, tokenised(600_000, 512)[1]
    prompt = {k: v[:ROWS] for k, v in world.data.valid.prompt.items()}
    with stream("scene"):
        plain = world.play(run["student"], prompt)
    with stream("scene"):
        right = world.play(Corrected(run["student"], run["teacher"], 1, world.stop), prompt)
    first = prompt["input_ids"].shape[1] - 1
    grid = torch.full((3 * ROWS, world.more), torch.nan)
    for k, batch in enumerate((plain, right)):
        s, u = (run[n](batch.x).at(None).dense()[:, first:].flatten(0, 1) for n in ("student", "teacher"))
        apart, y = kl(u, s, each=True).view(ROWS, -1), batch.y[:, first:]
        grid[k::3] = apart.masked_fill(y < 0, torch.nan)
        for i, row in enumerate(y.tolist()):
            for j, word in enumerate(row):
                if word >= 0:
                    text = words.decode([word]).replace("\n", "⏎").replace(" ", "·")
                    text = "".join(c if c.isprintable() else "▯" for c in text)
                    new = k == 1 and word != plain.y[i, first + j]
                    ax.text(j, 3 * i + k, text[:5], ha="center", va="center", fontsize=7, family="monospace", parse_math=False,
                            weight="bold" if new else "normal", color="black" if apart[i, j] < 2.5 else "white")  # fmt: skip
    for i in range(ROWS):
        changed = (plain.y[i, first:] != right.y[i, first:]).nonzero()
        if len(changed):
            ax.add_patch(plt.Rectangle((changed[0].item() - 0.5, 3 * i - 0.5), 1, 2, fill=False, ec="tab:blue", lw=1.8))
    image = ax.imshow(grid, cmap="Reds", vmin=0, vmax=4, aspect="auto")
    ax.set_yticks([3 * i + k for i in range(ROWS) for k in (0, 1)], ["written", "put right"] * ROWS, fontsize=8)
    ax.set_xticks([])
    ax.set_title("the worst word (blue) is the teacher's now; bold is what changed", fontsize=10)
    return image
