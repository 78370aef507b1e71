"""Word-level distillation: what held-out words cost the student, from rare ones to frequent ones, and how it comes to that."""

import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.fit import fit
from understudy.core.run import artefact, start
from understudy.parts.divergence import nll
from understudy.worlds import WORLDS

PARTS = 8


def scene() -> Figure:
    world = WORLDS["texts"](1000, ready=True)
    fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4), width_ratios=(1, 1.25), layout="constrained")
    made = {"teacher": (world.teacher(), "black")}
    for name, colour in (("word-kd", "tab:red"), ("alone", "tab:gray")):
        run = start(registry.get(name)(), world, 1000, device="cpu")
        seen: list[tuple[int, float]] = []
        fit(run, after=lambda r, seen=seen: seen.append((r.step, -world.validate(r["student"]))) if r.step % 20 == 0 else None)
        left.plot(*zip(*seen, strict=True), "o-", ms=3, color=colour, label=name)
        made[name] = (artefact(run), colour)
    left.axhline(-world.validate(world.teacher()), color="black", ls=":", label="teacher")
    left.set(xlabel="updates", ylabel="nats a word of files that nobody read", ylim=(None, 5.2))
    left.legend(frameon=False)
    valid, often = world.data.valid, world.data.train.y.flatten().bincount(minlength=512)
    order = often[valid.y.flatten()].argsort()
    with torch.no_grad():
        for i, (name, (net, colour)) in enumerate(reversed(made.items())):
            cost = nll(net(valid.x), valid.y, each=True)[order]
            bars = [part.mean().item() for part in cost.chunk(PARTS)]
            right.bar([k + (i - 1) * 0.28 for k in range(PARTS)], bars, 0.26, color=colour, label=name)
    edges = [int(part.float().median()) for part in often[valid.y.flatten()][order].chunk(PARTS)]
    right.set_xticks(range(PARTS), [f"{e:,}" for e in edges])
    right.set(xlabel=f"times the word was read in training (its eighth's median), of {int(often.sum()):,}", ylabel="nats a word")
    right.legend(frameon=False)
    return fig
