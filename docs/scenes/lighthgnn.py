"""LightHGNN: nodes that only features can't tell apart, told apart by a network that sees only features."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.fit import fit
from understudy.core.run import start
from understudy.worlds import WORLDS
from understudy.worlds.rows import answers

COLOURS = ("#1f6fb4", "#d98a00", "#2a9d6e", "#b5467f", "#6b6b6b")


def scene() -> Figure:
    """Nodes laid out by the teacher's answers, with each network's mistakes; and how far hyperedges are relied on."""
    world = WORLDS["hypergraph"](1000, ready=True)
    data, net = world.data, world.teacher()
    runs = {name: fit(start(registry.get(name)(), world, 1000, device="cpu")) for name in ("alone", "lighthgnn")}
    said = {"MLP, from 50 labels": answers(runs["alone"]["student"], data.valid.x), "teacher: hypergraph network": answers(net, data.valid.x, "teacher"),
            "LightHGNN+: the same MLP": answers(runs["lighthgnn"]["student"], data.valid.x)}  # fmt: skip
    place = _layout(said["teacher: hypergraph network"])
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    axes = figure.subplots(1, 4, width_ratios=(1, 1, 1, 0.9))
    y = data.valid.y
    for ax, (name, logits) in zip(axes, said.items(), strict=False):
        right = logits.argmax(-1) == y
        for c, colour in enumerate(COLOURS):
            ax.scatter(*place[right & (y == c)].T, s=12, lw=0, color=colour, alpha=0.8)
            ax.scatter(*place[~right & (y == c)].T, s=16, lw=1.1, color=colour, marker="x")
        ax.set(xticks=[], yticks=[], title=f"{name}\n{100 * right.double().mean():.0f} % right")
        ax.title.set_fontsize(9)
        ax.spines[:].set_color("#cccccc")
    axes[0].set_xlabel("dot: right, cross: wrong; colour: class", fontsize=8)
    rho, pure = runs["lighthgnn"]["reliable"].rho, _pure(world)
    for kind, colour, name in ((True, "#1f6fb4", "one class"), (False, "#b5467f", "mixed")):
        axes[3].hist(
            rho[pure == kind], bins=torch.linspace(0, 1, 21).tolist(), color=colour, alpha=0.65, density=True, label=name
        )
    axes[3].set(xlabel=r"reliability $\rho$ of a hyperedge", ylabel="density", yscale="log", title="Which hyperedges to believe")
    axes[3].title.set_fontsize(9)
    axes[3].legend(frameon=False, fontsize=8, loc="upper left")
    axes[3].spines[["top", "right"]].set_visible(False)
    return figure


def _layout(logits: torch.Tensor) -> torch.Tensor:
    """Two directions in which the teacher's answers differ most; [N, C] -> [N, 2]"""
    left, size, _ = torch.linalg.svd(logits - logits.mean(0), full_matrices=False)
    return left[:, :2] * size[:2]


def _pure(world) -> torch.Tensor:
    """Whether a hyperedge's members are of one class; [groups]"""
    member, group = world.data.edges
    of = world.data.y[member]
    first, last = (
        torch.zeros(int(group.max()) + 1, dtype=of.dtype).scatter_reduce(0, group, of, how, include_self=False)
        for how in ("amin", "amax")
    )
    return first == last
