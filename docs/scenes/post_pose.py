"""How implausible the prior finds poses, and what it and the moving average make of figures at dusk."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.fit import fit
from understudy.core.run import artefact, start
from understudy.core.seeds import stream
from understudy.parts.joints import bones, peaks
from understudy.parts.pose_prior import noised, off
from understudy.worlds import WORLDS
from understudy.worlds.sticks import JOINTS, PARENTS, SIDE, poses

RIGHT, LEFT = "#4d9de0", "#e15554"


def drawn(axis, joints, line: str = "-") -> None:
    """A figure of points in [-1, 1], in pixels."""
    place = (joints + 1) * SIDE / 2 - 0.5
    for i, parent in enumerate(PARENTS, 1):
        x, y = place[[i, parent]].T
        axis.plot(x, y, line, color=LEFT if JOINTS[i].endswith(" l") else RIGHT, linewidth=2)


def scene() -> Figure:
    """Lines: poses with more and more noise and the field's distance; a scatter of it; validation pictures before and after."""
    world = WORLDS["dusk"](1001, ready=True)
    run = fit(start(registry.get("post-pose")(), world, 1001, device="cpu"))
    figure = Figure((9.6, 6.0), layout="constrained")
    axes = figure.subplots(3, 6)
    with stream(3), torch.no_grad():
        field, parents = world.prior(), torch.tensor(PARENTS)
        clean = bones(poses(2000), parents)
        turn = torch.randn(len(PARENTS))
        test = torch.cat([noised(bones(poses(400), parents), 1.2), bones(poses(100), parents)])
        for k, axis in enumerate(axes[0]):
            cos, sin = (0.25 * k * turn).cos(), (0.25 * k * turn).sin()
            x, y = clean[7].unbind(-1)
            way = torch.stack([cos * x - sin * y, sin * x + cos * y], -1)[None]
            joints = [torch.zeros(2)]
            for parent, direction in zip(PARENTS, way[0], strict=True):
                joints.append(joints[parent] + 0.3 * direction)
            drawn(axis, torch.stack(joints))
            axis.set(xlim=(0, SIDE), ylim=(SIDE, 0), aspect="equal", xticks=[], yticks=[])
            axis.set_title(f"{field.of_bones(way).item():.2f}", fontsize=10)
        said, true = field.of_bones(test), off(test, clean)
    axes[0, 0].set_ylabel("how implausible:\nturned further", fontsize=9)
    valid = world.data.valid
    for line, (name, net) in zip(axes[1:], (("from the source", world.student()), ("after POST", artefact(run))), strict=True):
        with torch.no_grad():
            found = peaks(net.eval()(valid.x[:6])[:, : len(JOINTS)])[0]
        for k, axis in enumerate(line):
            axis.imshow(valid.x[k, 0], cmap="gray", vmin=-1, vmax=1.6, interpolation="nearest")
            drawn(axis, found[k])
            place = (valid.y["joints"][k] + 1) * SIDE / 2 - 0.5
            axis.plot(*place.T, "o", color="#f2c14e", markersize=3)
            axis.set(xlim=(-0.5, SIDE - 0.5), ylim=(SIDE - 0.5, -0.5), xticks=[], yticks=[])
        line[0].set_ylabel(f"{name}:\n{100 * world.validate(net):.1f} % found", fontsize=9)
    with torch.no_grad():
        r = torch.corrcoef(torch.stack([said, true]))[0, 1].item()
    figure.suptitle(
        f"The prior's distance goes with that to the nearest poses (correlation {r:.2f} on poses it never saw)\n"
        "blue right, red left limbs as found; yellow where the joints are",
        fontsize=10.5,
    )
    return figure
