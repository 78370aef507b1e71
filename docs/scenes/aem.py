"""Where attention goes in bags with nines, without and with a share of its entropy off the loss."""

from __future__ import annotations

from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import artefact, start
from understudy.parts.bags import weights
from understudy.worlds import WORLDS


def scene() -> Figure:
    """A validation bag as each of two networks weighs it; then the weight of nines, faint nines and others, and the AUC."""
    world = WORLDS["bags"](1001, ready=True)
    nets = {f"{name}": artefact(fit(start(get("aem")(weight=w), world, 1001, device="cpu")))
            for name, w in (("attention alone", 0.0), ("entropy maximised", 0.1))}  # fmt: skip
    part = world.data.valid
    bag = int((part.nines > 0).sum(1).argmax())
    figure = Figure((10, 4.2), layout="constrained")
    above, below = figure.subfigures(1, 2, width_ratios=(1.5, 1))
    rows = above.subplots(2, 1)
    axis = below.subplots()
    for k, (axes, (name, net)) in enumerate(zip(rows, nets.items(), strict=True)):
        a = weights(net.attention(net.encoder(part.x))).detach()
        order = a[bag].argsort(descending=True)[:20]
        for place, i in enumerate(order.tolist()):
            x, y = place % 10, 1.45 * (place // 10)
            axes.imshow(part.x[bag, i].view(8, 8), cmap="gray_r", extent=(x, x + 0.92, y + 0.92, y), vmin=-0.5, vmax=1.6)
            colour = ("0.5", "tab:red", "tab:orange")[int(part.nines[bag, i])]
            axes.text(x + 0.46, y + 1.27, f"{100 * a[bag, i]:.0f}", color=colour, ha="center", fontsize=9, weight="bold")
        axes.set(xlim=(0, 10), ylim=(2.9, -0.1), title=f"{name}: the 20 digits of one bag that weigh most, in %")
        axes.axis("off")
        shares = [100 * a[part.nines == kind].mean() for kind in (1, 2, 0)]
        axis.bar([x + 0.38 * k - 0.19 for x in range(3)], shares, 0.36, color=("0.65", "tab:blue")[k],
                 label=f"{name}, AUC {100 * world.validate(net):.1f}")  # fmt: skip
    axis.set(ylabel="mean weight of a digit in its bag (%)", title="validation bags", ylim=(0, 37))
    axis.set_xticks(range(3), ["nines", "faint nines", "other digits"])
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False)
    return figure
