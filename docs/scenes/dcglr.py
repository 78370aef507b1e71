"""DCGLR: a digit as a cloud of points, its large and small parts, and the clouds that are most like a few others, before and after."""

import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.parts.sightings import near, shaken
from understudy.worlds.clouds import clouds


def scene() -> Figure:
    world = clouds(1000)
    run = start(get("dcglr")(), world, 1000, device="cpu")
    x, y = world.data.valid.x, world.data.valid.y
    asked = [int((y == k).nonzero()[0]) for k in (0, 2, 3, 6)]
    unit = lambda f: torch.nn.functional.normalize(f - f.mean(0), dim=1)
    likest = lambda f: (unit(f) @ unit(f).T).fill_diagonal_(-1).topk(4).indices
    before, right = likest(run.world.features(run["student"], x)), [world.validate(run["student"])]
    fit(run)
    after = likest(run.world.features(run["student"], x))
    right.append(world.validate(run["student"]))
    figure = Figure((11, 5), layout="constrained")
    left, *sides = figure.subfigures(1, 3, width_ratios=(1, 1.9, 1.6))

    def draw(ax, cloud, colour):
        ax.scatter(cloud[:, 0], cloud[:, 1], c=colour, s=7)
        ax.set(xticks=[], yticks=[], xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), aspect="equal")

    with stream("scene"):
        cloud = x[asked[2]][None]
        parts = [cloud, shaken(near(cloud, 0.6, 1.0, 48), 15, 0.2, 0.02), shaken(near(cloud, 0.2, 0.6, 24), 15, 0.2, 0.02)]
    for ax, part, name in zip(left.subplots(3, 1), parts, ("points on ink", "a large part", "a small part"), strict=True):
        draw(ax, part[0], "0.2")
        ax.set_title(name, fontsize=10)
    for side, found, share, name in zip(sides, (before, after), right, ("untrained", "after 240 updates"), strict=True):
        first = side is sides[0]
        side.suptitle(f"most alike, {name} (probe {100 * share:.0f} %)", fontsize=10)
        for line, n in zip(side.subplots(4, 5 if first else 4), asked, strict=True):
            for ax, m in zip(line, [n] * first + found[n].tolist(), strict=True):
                draw(ax, x[m], "0.2" if m == n else "tab:green" if y[m] == y[n] else "tab:red")
    return figure
