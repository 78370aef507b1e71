"""Self-distillation for further pre-training: how far the encoder's states go from where they began, stage by stage; and pictures
restored from a quarter of their patches."""

import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.parts.masked import Masked, patches, pieced
from understudy.worlds.patchwork import patchwork_moved

SHOWN = 5


def scene() -> Figure:
    world = patchwork_moved(1000, ready=True)
    method = get("self-distill-further-pretrain")
    runs = {"near to the first time": start(method(), world, 1000, device="cpu"),
            "further pre-training alone": start(method(rounds=0), world, 1000, device="cpu")}  # fmt: skip
    run = runs["near to the first time"]
    x, far, pictures = world.rows(0, "valid").x, {name: [] for name in runs}, {}
    hidden = run.method.source(run).hidden[: len(x)]
    begun = states(run["initial"], x)
    ends = [round(world.steps * share) for share in (run.method.pretrain / 2, run.method.pretrain)]
    for name, other in runs.items():
        for step in range(0, world.steps + 1, 4):
            fit(other, step)
            far[name].append((step, (states(other["student"], x) - begun).square().sum(-1).mean().item()))
            if other is run and step == ends[1]:
                pictures["once more"] = filled(run["student"], x, hidden)
    pictures = {"as it was": filled(run["initial"], x, hidden), "first time": filled(run["teacher"], x, hidden), **pictures}
    figure = Figure((11, 4.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.25))
    seen = pieced(patches(x, (2, 2)).masked_fill(hidden[..., None], float("nan")), (4, 4), (2, 2))
    axes = left.subplots(5, SHOWN)
    for row, (said, shown) in zip(axes, {"digit": x, "seen": seen, **pictures}.items(), strict=True):
        for ax, picture in zip(row, shown, strict=False):
            ax.imshow(picture[0], cmap="gray", vmin=-1, vmax=1)
            ax.set(xticks=[], yticks=[], facecolor="0.35")
        row[0].set_ylabel(said, fontsize=8)
    ax = right.subplots()
    for (name, found), colour in zip(far.items(), ("tab:blue", "0.5"), strict=True):
        ax.plot(*zip(*found, strict=True), color=colour, lw=2, label=name)
    for end in ends:
        ax.axvline(end, color="0.8", lw=1, zorder=0)
    for at, said in zip((0, *ends), ("restores patches", "begins once more", "learns labels"), strict=True):
        ax.text(at + 2, 1.0, said, transform=ax.get_xaxis_transform(), fontsize=9, color="0.4")
    ax.set(xlabel="updates", ylabel="squared distance of states from the start")
    ax.legend(frameon=False, loc="upper left")
    ax.spines[["top", "right"]].set_visible(False)
    return figure


@torch.no_grad()
def states(net: Masked, x):
    """[N, D]"""
    return net.encoder(x).mean(1)


@torch.no_grad()
def filled(net: Masked, x, hidden):
    """What is seen, and what is said of the rest, in the patches' own light; [N, 1, 8, 8]"""
    own = patches(x, (2, 2))
    said = net(x, hidden) * (own.var(-1, keepdim=True) + 1e-6).sqrt() + own.mean(-1, keepdim=True)
    return pieced(torch.where(hidden[..., None], said, own), (4, 4), (2, 2))
