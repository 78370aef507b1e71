"""Stable Mean Teacher: an unlabelled clip, what the average says of it midway, what its recovery makes of that, and the truth."""

import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.methods.segmentation.stable_mean_teacher import somewhere
from understudy.worlds.clips import clips_masks


def scene() -> Figure:
    world = clips_masks(1000)
    run = fit(start(get("stable-mean-teacher")(), world, 1000, device="cpu"), 120)
    x, y = world.data.valid.x, (world.data.valid.y > 0).double()
    with torch.no_grad():
        raw = somewhere(run["teacher"](x))
        mended = somewhere(run["recovery_teacher"](torch.cat([x, raw[:, None]], 1)))
    off = {name: (m - y).square().mean().item() for name, m in (("raw", raw), ("mended", mended))}
    change = {name: (m.diff(dim=1) - y.diff(dim=1)).square().mean().item() for name, m in (("raw", raw), ("mended", mended))}
    rows = [("clip", x[:, 0], {"vmin": -1, "vmax": 2.5}), ("average says", raw, {"vmin": 0, "vmax": 1}),
            ("mended", mended, {"vmin": 0, "vmax": 1}), ("true", y, {"vmin": 0, "vmax": 1})]  # fmt: skip
    figure = Figure((9.4, 5), layout="constrained")
    for line, (name, what, how) in zip(figure.subplots(4, 8), rows, strict=True):
        for k, axis in enumerate(line):
            axis.imshow(what[1, k], cmap="gray", interpolation="nearest", **how)
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(name)
    told = ", ".join(f"{name} {off[name]:.3f} (differences {change[name]:.3f})" for name in off)
    figure.suptitle(f"after 120 of {world.steps} updates; square error on validation: {told}", fontsize=10)
    return figure
