"""SeFAR: a clip as the average sees it and as the student does, two levels of frames one behind the other; and how far answers under
dropout are trusted by how sure they are and how far apart, with those of validation clips while the student learns."""

import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.methods.semi.sefar import dropping, levels, trust
from understudy.parts.mix import cut, paste
from understudy.parts.uncertainty import mean_and_spread
from understudy.worlds.clips import clips


def scene() -> Figure:
    world = clips(1000)
    run, x, y = fit(start(get("sefar")(), world, 1000, device="cpu"), 100), world.data.valid.x, world.data.valid.y
    with stream("scene"), torch.no_grad():
        said = dropping(run["teacher"])(levels(x).repeat(10, 1, 1, 1, 1)).softmax(-1)
        dropping(run["teacher"], False)
        mask, _ = cut(*x.shape[-2:], torch.tensor([0.6]))
    q, spread = mean_and_spread(said.unflatten(0, (10, -1)))
    p, d = q.amax(1), spread.sqrt()
    figure = Figure((10.5, 4.4), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.7, 1))
    rows = {
        "average": levels(x[:1]),
        "student": levels(x[:1], backwards=True),
        "tube": paste(levels(x[:1], backwards=True), levels(x[3:4], backwards=True), mask),
    }
    for line, (name, clip) in zip(left.subplots(3, 8), rows.items(), strict=True):
        for k, axis in enumerate(line):
            axis.imshow(clip[0, 0, k], cmap="gray", vmin=-1, vmax=2.5)
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(name)
        if name == "average":
            line[0].set_title("every second frame", fontsize=9, loc="left")
            line[4].set_title("frames in a row", fontsize=9, loc="left")
        if name == "student":
            line[4].set_title("backwards", fontsize=9, loc="left")
    axis = right.subplots()
    sure, apart = torch.meshgrid(torch.linspace(0.25, 1, 60), torch.linspace(0, 0.5, 60), indexing="xy")
    shown = axis.contourf(sure, apart, trust(sure.flatten(), apart.flatten()).view_as(sure), 10, cmap="Blues")
    right.colorbar(shown, label="trust")
    right_ones = q.argmax(1) == y
    axis.scatter(p[right_ones], d[right_ones], s=10, color="tab:green", label="right")
    axis.scatter(p[~right_ones], d[~right_ones], s=10, color="tab:red", label="wrong")
    axis.set(xlabel="how sure, p", ylabel="deviation of ten answers, d", xlim=(0.25, 1), ylim=(0, 0.5))
    axis.legend(frameon=False, loc="upper right")
    return figure
