"""What a device adds to its pictures by the end of each fault, and how many of the rows that it got wrong it had sent away."""

from __future__ import annotations

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.worlds import WORLDS
from understudy.worlds.stream import FAULTS


def scene() -> Figure:
    """Above a picture of each fault, in the middle the prompt at its end, below wrong answers among rows sent and kept."""
    world = WORLDS["cloud"](1000, ready=True, split="valid")
    run, prompts, wrong = start(get("u-vpa")(), world, 1000, device="cpu"), {}, {}

    def after(run: object) -> None:
        """The prompt, and errors among the more and the less certain half of the batch that was just learned from."""
        step = run.step - 1  # type: ignore[attr-defined]
        k = world.phase(step)
        prompts[k] = (run.method.reach * run["teacher"].prompt[0]).detach().clone()  # type: ignore[index, attr-defined]
        run.step = step  # type: ignore[attr-defined]
        x, pick = world._arrivals(step)
        sent = run.method.source(run).x  # type: ignore[attr-defined]
        run.step = step + 1  # type: ignore[attr-defined]
        gone = (x[:, None] == sent[None]).flatten(2).all(-1).any(1)
        with torch.no_grad():
            bad = run["device"](x + prompts[k]).argmax(-1) != world.data.valid.y[pick]  # type: ignore[index]
        wrong.setdefault(k, []).append((bad[gone].double().mean().item(), bad[~gone].double().mean().item()))

    fit(run, after=after)
    names = ["none", *FAULTS]
    fig = plt.figure(figsize=(11, 5), layout="constrained")
    grid = fig.add_gridspec(3, len(names), height_ratios=(1, 1, 1.6))
    reach = max(p.abs().max().item() for p in prompts.values())
    for k, name in enumerate(names):
        worst = max((s for s in range(world.steps) if world.phase(s) == k), key=world.severity)
        top, middle = (fig.add_subplot(grid[i, k]) for i in (0, 1))
        top.imshow(world.rows(worst).x[0, 0], cmap="gray", vmin=-1, vmax=1)
        shown = middle.imshow(prompts[k], cmap="RdBu_r", vmin=-reach, vmax=reach)
        top.set(title=name, xticks=[], yticks=[], ylabel="" if k else "arrives")
        middle.set(xticks=[], yticks=[], ylabel="" if k else "is added")
    fig.colorbar(shown, ax=middle)
    low = fig.add_subplot(grid[2, :])
    for i, (colour, name) in enumerate((("tab:red", "sent to the cloud"), ("0.7", "kept"))):
        height = [100 * torch.tensor(wrong[k])[:, i].mean() for k in range(len(names))]
        low.bar([k + 0.4 * i - 0.2 for k in range(len(names))], height, 0.38, color=colour, label=name)
    low.set(ylabel="wrong answers (%)", xlim=(-0.5, len(names) - 0.5))
    low.set_xticks(range(len(names)), names)
    low.set_ylim(0, low.get_ylim()[1] * 1.25)
    low.legend(frameon=False, ncols=2, loc="upper left")
    return fig
