"""Wav2Small: a tiny network that learned feelings from people, and one that learned them from a network."""

from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import artefact, start
from understudy.parts.audio import LogMel, standardised
from understudy.worlds.rows import answers
from understudy.worlds.voices import voices

FEELINGS = ("arousal", "dominance", "valence")


def scene() -> Figure:
    world = voices(1000, ready=True)
    nets = {"by people": artefact(fit(start(get("alone")(), world, 1000, device="cpu"))),
            "by the teacher": artefact(fit(start(get("wav2small")(), world, 1000, device="cpu"))), "teacher": world.teacher()}  # fmt: skip
    x, y = world.data.valid.x, world.data.valid.y
    said = {name: answers(net, x) for name, net in nets.items()}
    marks = {name: world.measure(net, world.data.valid) for name, net in nets.items()}
    weights = {name: sum(p.numel() for p in net.parameters()) for name, net in nets.items()}
    figure = Figure((9.5, 6.2), layout="constrained")
    heard, judged = figure.subfigures(1, 2, width_ratios=(1, 2.3))
    ear = LogMel(8000, 256, 40)
    for ax, row in zip(heard.subplots(3, 1), (y.sum(1).argmax(), y.sum(1).argmin(), (y[:, 0] - y[:, 1]).argmax()), strict=True):
        ax.imshow(ear(standardised(x[row : row + 1]))[0].T, origin="lower", aspect="auto", cmap="magma", extent=(0, 0.5, 0, 40))
        ax.set(xlabel="seconds", ylabel="mel band", title=" ".join(f"{f[0].upper()} {v:.2f}" for f, v in zip(FEELINGS, y[row])))
    for axes, (name, out) in zip(judged.subplots(3, 3, sharex=True, sharey=True), said.items(), strict=True):
        for i, ax in enumerate(axes):
            ax.scatter(y[:, i], out[:, i], s=4, lw=0, color=("tab:red", "tab:blue", "tab:green")[i])
            ax.plot([0, 1], [0, 1], color="black", lw=0.7)
            ax.set(xlim=(-0.1, 1.1), ylim=(-0.3, 1.3))
            ax.set_title(f"{FEELINGS[i]}: CCC {marks[name][f'ccc_{i}']:.2f}", fontsize=10)
        axes[0].set_ylabel(f"{name}\n{weights[name]:,} weights")
    for ax, f in zip(axes, FEELINGS, strict=True):
        ax.set_xlabel(f"true {f}")
    return figure
