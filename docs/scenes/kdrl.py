"""KDRL on sums: how fast it learns beside reward alone, and what the teacher thinks of the student's letters."""

import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.fit import fit
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.parts.policy import token_logp
from understudy.worlds import WORLDS

LETTERS = "0123456789+=."


def scene() -> Figure:
    world = WORLDS["sums"](1000, ready=True)
    fig, (left, before, after) = plt.subplots(1, 3, figsize=(11, 4.6), width_ratios=(1.5, 1, 1), layout="constrained")
    runs = {"reward alone (GRPO)": (0.0, "tab:gray"), "KDRL": (5.0, "tab:red")}
    for name, (beta, colour) in runs.items():
        run = start(registry.get("kdrl")(beta=beta), world, 0, device="cpu")
        seen = [(0, world.validate(run["student"]))]
        if beta:
            gaps(before, run, "the first step")
        fit(run, after=lambda r, seen=seen: seen.append((r.step, world.validate(r["student"]))) if r.step % 10 == 0 else None)
        left.plot(*zip(*seen, strict=True), color=colour, label=name, lw=2)
    image = gaps(after, run, "the last step")
    left.axhline(world.validate(run["teacher"]), color="black", ls=":", label="teacher")
    left.set(xlabel="step (128 answers each)", ylabel="sums answered right, validation", ylim=(0, 1.02))
    left.legend(loc="lower right")
    fig.colorbar(image, ax=after, label="log s - log u  (nats)")
    return fig


@torch.no_grad()
def gaps(ax, run, when):
    """Twelve answers letter by letter: red where the student is surer of a letter than the teacher is."""
    with stream("scene"):
        x = run.world.splits["valid"][:12, : run.world.ask]
        said = run.world.play(run["student"], x)
    s, u = (token_logp(run[name](said.tokens), said.tokens) for name in ("student", "teacher"))
    first = run.world.ask - 1
    image = ax.imshow(((s - u) * said.mask)[:, first:], cmap="RdBu_r", vmin=-6, vmax=6, aspect="auto")
    for i, row in enumerate(said.tokens.tolist()):
        for j, letter in enumerate(row[run.world.ask :]):
            if said.mask[i, first + j]:
                ax.text(j, i, LETTERS[letter], ha="center", va="center", fontsize=11,
                        color="white" if (s - u)[i, first + j].abs() > 4 else "black")  # fmt: skip
    asks = ["".join(LETTERS[c] for c in row) for row in x.tolist()]
    marks = ["✓" if r else "✗" for r in said.reward.tolist()]
    ax.set_yticks(range(12), [f"{m} {a}" for m, a in zip(marks, asks, strict=True)], fontsize=9, family="monospace")
    ax.set_xticks([])
    ax.set_xlabel("letters written")
    ax.set_title(f"before {when}" if "first" in when else f"after {when}", fontsize=10)
    return image
