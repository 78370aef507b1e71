"""CMD: where its attention lies in unseen digits."""

import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import artefact, start
from understudy.worlds.gallery import gallery


def scene() -> Figure:
    world = gallery(1000)
    run = fit(start(get("cmd-fgvc")(), world, 1000, device="cpu"))
    x, y = world.data.valid.x, world.data.valid.y
    with torch.no_grad():
        features = run.tap("student", run.method.at, x)[1]
        a = run["bag"](features)[1].view(len(x), 1, *features.shape[2:])
    whole = torch.nn.functional.interpolate(a, x.shape[2:], mode="bilinear", align_corners=False)
    figure = Figure((11, 4.6), layout="constrained")
    for column, k in zip(figure.subplots(3, 10).T, range(10), strict=True):
        for ax, n in zip(column, (y == k).nonzero()[:3, 0], strict=True):
            ax.imshow(x[n, 0], cmap="gray", vmin=-1, vmax=1)
            shown = ax.imshow(
                whole[n, 0], cmap="inferno", alpha=0.55, vmin=0, vmax=float(a.quantile(0.99)), interpolation="bilinear"
            )
            ax.set(xticks=[], yticks=[])
    figure.colorbar(shown, ax=figure.axes, shrink=0.7, label="weight of a place in its picture's bag")
    figure.suptitle(f"unseen digits; a linear probe of such bags is right about {100 * world.validate(artefact(run)):.0f} %")
    return figure
