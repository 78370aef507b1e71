"""Faults that come back: who has forgotten by then, and who still reads clean digits at the end."""

from __future__ import annotations

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import artefact, start
from understudy.parts.statistics import batch_statistics_
from understudy.worlds import WORLDS

READERS = {
    "tent": (get("tent")(), "0.6"), "cotta": (get("cotta")(threshold=0.5), "tab:green"),
    "rmt": (get("rmt")(decay=0.97), "tab:orange"), "psmt": (get("psmt")(decay=0.97), "tab:blue"),
}  # fmt: skip


@torch.no_grad()
def _clean(net: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    return 100 * torch.cat([net(part) for part in x.split(50)]).argmax(-1).eq(y).double().mean().item()


def scene() -> Figure:
    """Left the mean accuracy over each of three rounds of the same faults, right that on clean digits afterwards."""
    world = WORLDS["recurring"](1000, ready=True, split="valid")
    valid = world.data.valid
    fig, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained", gridspec_kw={"width_ratios": (1.8, 1)})
    ends = [_clean(batch_statistics_(world.student()), valid.x, valid.y)]
    for name, (method, colour) in READERS.items():
        run = fit(start(method, world, 1000, device="cpu"))
        rounds = torch.tensor(list(run.observed.values()))[world.lead :].view(world.cycles, -1).mean(1)
        left.plot(range(1, world.cycles + 1), 100 * rounds, "o-", color=colour, lw=2, label=name)
        ends.append(_clean(artefact(run), valid.x, valid.y))
    left.set(xticks=range(1, world.cycles + 1), xlabel="round of the eight faults", ylabel="right before learning from it (%)")
    left.legend(frameon=False)
    names, colours = ["source", *READERS], ["0.85", *(c for _, c in READERS.values())]
    for i, (end, colour) in enumerate(zip(ends, colours, strict=True)):
        right.plot(end, -i, "o", color=colour, ms=11)
        right.annotate(f"{end:.1f}", (end, -i), (11, -4), textcoords="offset points")
    right.set_yticks([-i for i in range(len(names))], names)
    right.set(xlabel="right on clean digits afterwards (%)", xlim=(min(ends) - 1, 100))
    right.grid(axis="y", color="0.9")
    return fig
