"""GKD: how often the student writes and which divergence corrects it, against what it writes and what it makes of given texts."""

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.fit import fit
from understudy.core.run import artefact, start
from understudy.worlds import WORLDS
from understudy.worlds.texts import Texts

LMBDAS, BETAS = (0.0, 0.5, 1.0), (0.0, 0.1, 0.5, 0.9, 1.0)


def scene() -> Figure:
    world = WORLDS["writing"](1000, ready=True)
    write, read = [], []
    for lmbda in LMBDAS:
        made = [artefact(fit(start(registry.get("gkd")(lmbda=lmbda, beta=b), world, 1000, device="cpu"))) for b in BETAS]
        write.append([-world.validate(net) for net in made])
        read.append([-Texts.validate(world, net) for net in made])
    begun = world.student()
    fig, axes = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
    for axis, grid, title, start_ in (
        (axes[0], write, "KL(s || u) along what it writes", -world.validate(begun)),
        (axes[1], read, "-log s of what people wrote", -Texts.validate(world, begun)),
    ):
        image = axis.imshow(grid, cmap="viridis_r", aspect="auto")
        for i, row in enumerate(grid):
            for j, value in enumerate(row):
                dark = value > (min(map(min, grid)) + max(map(max, grid))) / 2
                axis.text(j, i, f"{value:.2f}", ha="center", va="center", color="white" if dark else "black")
        axis.set_xticks(range(len(BETAS)), [f"{b:g}" for b in BETAS])
        axis.set_yticks(range(len(LMBDAS)), ["0: given texts", "0.5: both", "1: its own"])
        axis.set(xlabel="beta: forward KL (0) to reverse KL (1)", title=f"{title}, nats a word\n(at the start {start_:.2f})")
        fig.colorbar(image, ax=axis)
    axes[0].set_ylabel("lmbda: learns from")
    return fig
