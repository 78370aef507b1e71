"""DistiLLM: a gradient that stays small where the student excludes a word, and what each step is learned from."""

import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.fit import fit
from understudy.core.run import start
from understudy.parts.divergence import kl, skew_kl
from understudy.worlds import WORLDS

KINDS = {"text": ("given text", "tab:gray"), "fresh": ("written anew", "tab:red"), "old": ("old writing", "tab:orange")}


def scene() -> Figure:
    fig, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4), width_ratios=(1, 1.7), layout="constrained")
    slopes(left)
    world = WORLDS["writing"](1000, ready=True)
    run = start(registry.get("distillm")(phi=0.7, capacity=160), world, 1000, device="cpu")
    seen: list[tuple[str, float]] = []
    fit(
        run,
        watch=lambda _r, b, t: seen.append((next(k for k in ("fresh", "old", "text") if k in b), t["student"]["skewed"].item())),
    )
    for kind, (label, colour) in KINDS.items():
        at = [(i, v) for i, (k, v) in enumerate(seen) if k == kind]
        right.scatter(*zip(*at, strict=True), s=26, color=colour, label=f"{label}: {len(at)} steps")
    full = 160 // world.batch
    anew = [i for i, (k, _) in enumerate(seen) if k == "fresh"]
    if len(anew) > full:
        right.axvline(anew[full - 1] + 0.5, color="black", ls=":", lw=1)
        right.text(anew[full - 1] + 0.8, right.get_ylim()[1], "160 rows are kept", va="top", fontsize=9)
    right.set(
        xlabel="update", ylabel="skewed KL on the batch (nats a word)", title="phi = 0.7: of its own writing, ever less is new"
    )
    low, high = right.get_ylim()
    right.set_ylim(low - 0.35 * (high - low), high)
    right.legend(frameon=False, loc="lower left")
    return fig


def slopes(ax):
    """The size of the gradient towards the student's probability q of a word that the teacher gives a half."""
    q = torch.logspace(-6, -0.3, 80, dtype=torch.double)
    u = torch.zeros(80, 2, dtype=torch.double)
    for name, apart, colour in (
        ("KL", kl, "tab:gray"), *((f"skewed, alpha {a}", lambda u, s, a=a, **k: skew_kl(u, s, a, **k), c)
                                  for a, c in ((0.01, "tab:orange"), (0.1, "tab:red"), (0.3, "tab:purple"))),
    ):  # fmt: skip
        p = q.clone().requires_grad_()
        (grad,) = torch.autograd.grad(apart(u, torch.stack([p.log(), (1 - p).log()], 1), each=True).sum(), p)
        ax.loglog(q, grad.abs(), color=colour, label=name)
    ax.set(xlabel="the student's probability of the word", ylabel="size of the gradient towards it", title="the teacher says 1/2")
    ax.legend(frameon=False)
