"""Deep Co-Training: how many validation rows each of two networks gets right when they are moved to fool it, and when they are
moved to fool the other; trained together, and trained each by itself on the labels. Rows are moved further here than in
training, so that there is something to see."""

import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.parts.divergence import nll
from understudy.worlds.rows import answers
from understudy.worlds.utterances import utterances

FAR = (0.0, 0.02, 0.05, 0.1, 0.2)


def scene() -> Figure:
    world = utterances(1000)
    x, y = world.data.valid.x, world.data.valid.y
    figure = Figure((10.5, 3.8), layout="constrained")
    runs = {"together": {"agree": 1.0}, "each by itself": {"agree": 0.0, "differ": 0.0}}
    for ax, (name, settings) in zip(figure.subplots(1, 2, sharey=True), runs.items(), strict=True):
        run = fit(start(get("deep-co-training")(**settings), world, 1000, device="cpu"))
        one, two = run["student"].eval(), run["peer"].eval()
        for judge, colour, label in ((one, "tab:red", "moved to fool it"), (two, "tab:blue", "moved to fool the other")):
            z = x.clone().requires_grad_()
            (slope,) = torch.autograd.grad(nll(judge(z), y, each=True).sum(), z)
            right = [100 * (answers(one, x + far * slope.sign()).argmax(1) == y).double().mean().item() for far in FAR]
            ax.plot(FAR, right, "o-", color=colour, label=label)
        alike = 100 * (answers(one, x).argmax(1) == answers(two, x).argmax(1)).double().mean().item()
        ax.set(xlabel="how far each place of a row is moved", title=f"trained {name}: they agree on {alike:.0f} %", ylim=(0, 102))
    figure.axes[0].set_ylabel("rows that the student gets right (%)")
    figure.axes[0].legend(frameon=False)
    return figure
