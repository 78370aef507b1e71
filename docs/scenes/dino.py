"""DINO: large and small parts of one digit, what the average and the student say about them, and how even the answers are."""

import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.worlds.gallery import gallery


def scene() -> Figure:
    world = gallery(1000)
    run = start(get("dino")(), world, 1000, device="cpu")
    curve = []

    def watch(run, batch, _terms):
        p = run["centre"](batch.z, run.method.sharp)
        entropy = lambda p: (-p * p.clamp(min=1e-30).log()).sum(-1).mean().exp().item()
        curve.append(
            (
                entropy(p),
                entropy(p.mean(0, keepdim=True)),
            )
        )

    fit(run, watch=watch)
    batch = run.method.source(run)
    n, i = len(batch.x), 2
    order = run["centre"](batch.z, run.method.sharp)[i].argsort(descending=True)[:24]
    said = [run["centre"](batch.z[k * n + i][None], run.method.sharp)[0] for k in (0, 1)]
    with torch.no_grad():
        s = run["head"](run["student"](batch.small)) / run.method.t
    said += [s[k * n + i].softmax(0) for k in (0, 1)]
    parts = [batch.large[i], batch.large[n + i], batch.small[i], batch.small[n + i]]
    figure = Figure((11, 4.6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.5, 1), wspace=0.06)
    axes = left.subplots(4, 2, width_ratios=(1, 4))
    names = ("average, large", "average, large", "student, small", "student, small")
    for (picture, bars), part, p, name in zip(axes, parts, said, names, strict=True):
        picture.imshow(part[0], cmap="gray", vmin=-1, vmax=1)
        picture.set(xticks=[], yticks=[])
        bars.bar(range(len(order)), p[order], color="tab:blue" if "average" in name else "tab:orange")
        bars.set(xticks=[], ylim=(0, 1), yticks=[0, 1])
        bars.set_title(name, fontsize=9, loc="left", pad=2)
    axes[-1][1].set_xlabel("the 24 answers that the average gives most to")
    ax = right.subplots()
    alone, together = torch.tensor(curve).T
    ax.plot(together, color="tab:green", lw=2, label="of the batch together")
    ax.plot(alone, color="tab:blue", lw=2, label="of one row")
    ax.set(xlabel="updates", ylabel="answers in use, exp of entropy", yscale="log", ylim=(1, 140))
    ax.legend(frameon=False, title="the average's answers", loc="lower right")
    return figure
