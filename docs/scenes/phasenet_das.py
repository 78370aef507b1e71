"""Picks of a teacher that reads trace by trace, what one earthquake explains of them, and the student's picks."""

from __future__ import annotations

from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import artefact, start
from understudy.parts.picks import associated, picks
from understudy.worlds import WORLDS
from understudy.worlds.fibre import LEAST, NEAR
from understudy.worlds.rows import answers


def scene() -> Figure:
    """One recording of the validation part three times: all picks, the kept ones, and those of the student that learned from such."""
    world, method = WORLDS["fibre"](1000, ready=True), get("phasenet-das")()
    student, part = artefact(fit(start(method, world, 1000, device="cpu"))), world.data.valid
    said, _ = picks(answers(world.teacher(), part.x), method.sure)
    kept = associated(said, world.slowness, method.sigma, method.least)
    learned, _ = picks(answers(student, part.x), LEAST)
    right = (said - part.y).abs() <= NEAR
    thrown = said.isfinite() & ~kept
    at = int(((thrown & ~right).flatten(1).sum(1) - 2.0 * (thrown & right).flatten(1).sum(1)).argmax())
    share = lambda rows: f"{100 * float(right[rows].float().mean()):.0f} % of all are right"
    panels = {
        f"picks of the teacher\n{share(said.isfinite())}": said,
        f"one earthquake explains\n{share(kept)}, of the others {100 * float(right[thrown].float().mean()):.0f} %":
            said.where(kept, float("nan")),
        f"picks of the student\nF1 {100 * world.validate(student):.0f}, of the teacher {100 * world.validate(world.teacher()):.0f}": learned,
    }  # fmt: skip
    figure = Figure((11, 4.6), layout="constrained")
    time = [t / 20 for t in range(part.x.shape[-1])]
    for axis, (title, arrival) in zip(figure.subplots(1, 3, sharey=True), panels.items(), strict=True):
        for c, trace in enumerate(part.x[at, 0]):
            axis.plot(time, c + 0.14 * trace.clamp(-4, 4), color="0.6", lw=0.6)
        for k, colour in enumerate(("tab:blue", "tab:red")):
            axis.plot(part.y[at, :, k] / 20, range(part.y.shape[1]), color=colour, lw=5, alpha=0.2, solid_capstyle="round")
            axis.plot(
                arrival[at, :, k] / 20,
                range(part.y.shape[1]),
                "|",
                color=colour,
                ms=18,
                mew=2.5,
                label=("first", "second")[k] + " wave",
            )
        axis.set(xlabel="seconds", title=title)
        axis.title.set_fontsize(10)
        axis.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set(ylabel="sensor along the fibre")
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=2,
        frameon=False,
        title="ticks: picks; bands: true",
    )
    return figure
