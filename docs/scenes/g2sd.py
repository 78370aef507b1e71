"""G2SD: what the student sees of some digits, how near it foretells the teacher's states of all patches, and what came of it."""

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.parts.masked import patches, pieced
from understudy.worlds.patchwork import patchwork

SHOWN = 6


def scene() -> Figure:
    world = patchwork(1000, ready=True)
    runs = {"generic, then specific": start(get("g2sd")(), world, 1000, device="cpu"),
            "specific alone": start(get("g2sd")(generic=0.0), world, 1000, device="cpu")}  # fmt: skip
    curves, (run, _) = {name: [] for name in runs}, runs.values()
    end = round(run.method.generic * world.steps)
    batch = run.method.source(run)
    maps = [near(run, batch)]
    for name, other in runs.items():
        for step in range(0, world.steps + 1, 16):
            fit(other, step)
            curves[name].append((step, 100 * world.validate(other["student"])))
            if other is run and step == end:
                maps.append(near(run, batch))
    figure = Figure((11, 4.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.35, 1))
    seen = pieced(patches(batch.x, (2, 2)).masked_fill(batch.hidden[..., None], float("nan")), (4, 4), (2, 2))
    axes = left.subplots(4, SHOWN)
    for k in range(SHOWN):
        for ax, picture in zip(axes[:2, k], (batch.x, seen), strict=True):
            ax.imshow(picture[k, 0], cmap="gray", vmin=-1, vmax=1)
        for ax, found in zip(axes[2:, k], maps, strict=True):
            shown = ax.imshow(found[k].view(4, 4), cmap="viridis", vmin=0, vmax=1)
    for ax, said in zip(axes[:, 0], ("digit", "seen", "at first", f"after {end}"), strict=True):
        ax.set_ylabel(said)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[], facecolor="0.35")
    left.colorbar(shown, ax=axes[2:], shrink=0.8, label="cosine with the teacher's state")
    ax = right.subplots()
    for (name, found), colour in zip(curves.items(), ("tab:blue", "0.5"), strict=True):
        ax.plot(*zip(*found, strict=True), color=colour, lw=2, label=name)
    ax.axvline(end, color="0.8", lw=1, zorder=0)
    ax.axhline(100 * world.validate(world.teacher()), color="0.3", lw=1, ls=":", label="teacher")
    ax.set(xlabel="updates (generic up to the line)", ylabel="right on validation digits (%)", ylim=(0, 100))
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return figure


@torch.no_grad()
def near(run, batch):
    """[N, L]"""
    said = run["foretell"](run["decoder"](run["student"](batch.x, batch.hidden), batch.hidden))
    h = batch.target
    return F.cosine_similarity(said, F.layer_norm(h, h.shape[-1:]), dim=-1)
