"""MGD: a mix of two pictures, what both teachers say of it and the student after training; and how its regions resemble the one that
is marked, in the wide teacher, in a student that learned likeness and in one that did not."""

import torch
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.worlds.touching import touching_teachers

COLOURS = ListedColormap(["#20242c", "#f2c14e", "#4d9de0"])


def scene() -> Figure:
    world = touching_teachers(1000, ready=True)
    runs = {name: fit(start(get("mgd-ssss")(**how), world, 1000, device="cpu"))
            for name, how in (("student", {}), ("pixels alone", {"image": 0.0, "region": 0.0}))}  # fmt: skip
    run = runs["student"]
    with stream("scene"), torch.no_grad():
        x = run.method.source(run).x[-1:]
        _, (deep, wide, f) = run.tap("teacher", run.method.teachers, x)
        said = {name: r.tap("student", r.method.at, x) for name, r in runs.items()}
    maps = {"deep teacher": deep, "wide teacher": wide} | {name: s for name, (s, _) in said.items()}
    likeness = {"wide teacher": f} | {name: g for name, (_, g) in said.items()}
    figure = Figure((9.4, 4.4), layout="constrained")
    axes = figure.subplots(2, 5)
    axes[0, 0].imshow(x[0, 0], cmap="gray", vmin=-1.5, vmax=2.5, interpolation="nearest")
    axes[0, 0].set_title("a mix", fontsize=10)
    for axis, (name, out) in zip(axes[0, 1:], maps.items(), strict=True):
        axis.imshow(out[0].argmax(0), cmap=COLOURS, vmin=0, vmax=2, interpolation="nearest")
        axis.set_title(name, fontsize=10)
    side = f.shape[-1]
    spot = side // 2
    cosines = [run.method.alike(g)[0][spot * side + spot].unflatten(0, (side, side)) for g in likeness.values()]
    low = min(c.min().item() for c in cosines)
    for axis, name, cosine in zip(axes[1, 2:], likeness, cosines, strict=True):
        shown = axis.imshow(cosine, cmap="gray", vmin=low, vmax=1)
        axis.plot(spot, spot, "+", color="tab:red", ms=10)
        axis.set_title(name, fontsize=10)
    figure.colorbar(shown, ax=axes[1, 4], label="cosine")
    axes[1, 0].axis("off")
    axes[1, 1].axis("off")
    axes[1, 1].text(0.9, 0.5, "how regions\nresemble +", ha="right", va="center", transform=axes[1, 1].transAxes)
    for axis in (*axes[0], *axes[1, 2:]):
        axis.set(xticks=[], yticks=[])
    return figure
