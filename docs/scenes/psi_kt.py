"""PSI-KT: what a learner knows, which skills rest on which, and what will be answered next."""

import torch
from matplotlib.figure import Figure
from torchmetrics.functional.classification import binary_auroc

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import artefact, start
from understudy.worlds.learners import learners, simulated
from understudy.worlds.rows import answers

SEED, WHO = 1000, 4  # the learner to be looked at, among those whose later answers are for validation


def scene() -> Figure:
    world = learners(SEED)
    net, plain = (artefact(fit(start(get(name)(), world, SEED, device="cpu"))) for name in ("psi-kt", "alone"))
    *_, time, truth = simulated(64, 10, 60, key=SEED)
    x, y = world.data.valid.x, world.data.valid.y
    told = net.explain(x)
    figure = Figure((11, 6.4), layout="constrained")
    over, below = figure.subfigures(2, 1, height_ratios=(1.15, 1))
    _knowledge(over.subplots(), told, truth, time, x, y)
    a, b, c = below.subplots(1, 3, width_ratios=(1.1, 1, 1.25))
    a.scatter(truth.traits[::2, 1], told["traits"][:, 39, 1], s=14, color="tab:blue")
    r = torch.corrcoef(torch.stack([truth.traits[::2, 1], told["traits"][:, 39, 1]]))[0, 1]
    a.set(xlabel="true level of a learner", ylabel="inferred level", title=f"one of four traits: r = {r:.2f}")
    off = ~torch.eye(10, dtype=torch.bool)
    area = binary_auroc(told["graph"][off], truth.graph[off].long())
    b.imshow(told["graph"], cmap="Blues", vmin=0, vmax=1)
    before, after = truth.graph.nonzero().T
    b.plot(after, before, "o", mfc="none", mec="tab:red", ms=8, label="true")
    b.set(xlabel="skill", ylabel="its prerequisite", title=f"graph: AUROC {area:.2f}, true edges red")
    for model, name in ((net, "PSI-KT"), (plain, "LSTM (DKT)")):
        out = answers(model, x)
        spans = [slice(s, s + 5) for s in range(40, 60, 5)]
        c.plot(
            [3, 8, 13, 18],
            [binary_auroc(out[:, s].sigmoid().flatten(), y[:, s].long().flatten()) for s in spans],
            "o-",
            label=name,
        )
    c.axhline(0.5, color="grey", lw=0.8, ls=":")
    c.set(xlabel="answers ahead", ylabel="AUC (validation)", title="foretelling without further answers", ylim=(0.45, 0.9))
    c.legend()
    return figure


def _knowledge(ax, told, truth, time, x, y) -> None:
    """One learner's chance of a right answer in the three skills that were asked most."""
    skills = x["skill"][WHO, :40].bincount().topk(3).indices
    days, late = time[2 * WHO], time[2 * WHO, 40]
    ax.axvspan(late, days[-1] + 0.3, color="0.93", label="foretold")
    for skill, colour in zip(skills, ("tab:blue", "tab:orange", "tab:green"), strict=True):
        z, sd = told["knowledge"][WHO, :, skill], told["deviation"][WHO, :, skill]
        ax.plot(days, z.sigmoid(), color=colour, label=f"skill {skill}")
        ax.fill_between(days, (z - sd).sigmoid(), (z + sd).sigmoid(), color=colour, alpha=0.15, lw=0)
        ax.plot(days, truth.knowledge[2 * WHO, :, skill].sigmoid(), color=colour, lw=0.9, ls="--")
        for right, place in ((1, 1.06), (0, -0.06)):
            said = torch.where(x["answer"][WHO] >= 0, x["answer"][WHO], y[WHO].nan_to_num().long())
            when = (x["skill"][WHO] == skill) & (said == right)
            ax.plot(days[when], [place] * int(when.sum()), "|", color=colour, ms=9)
    ax.set(xlabel="days", ylabel="chance of a right answer", ylim=(-0.12, 1.12), title="a learner: inferred (line, ± 1 sd), true (dashes), "
           "right answers above, wrong ones below")  # fmt: skip
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
