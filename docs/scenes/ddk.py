"""DDK on four domains: how the draws move to where the student is behind, and what came of it in each domain."""

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.fit import fit
from understudy.core.run import start
from understudy.worlds import WORLDS
from understudy.worlds.domains import NAMES

COLOURS = ("tab:blue", "tab:green", "tab:orange", "tab:red")
RUNS = {"rows as they lie": ({"draw": "rows"}, "s", "tab:gray"), "all domains alike": ({"alpha": 0.0}, "D", "tab:olive"),
        "DDK": ({}, "o", "black")}  # fmt: skip


def scene() -> Figure:
    world = WORLDS["domains"](1000, ready=True)
    fig, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.4), width_ratios=(1, 1.15), layout="constrained")
    marks = {
        name: world.measure(net, world.data.valid)
        for name, net in (("student before", world.student()), ("teacher", world.teacher()))
    }
    shares: list[list[float]] = []
    for name, (fields, _, _) in RUNS.items():
        run = start(registry.get("ddk")(**fields), world, 1000, device="cpu")
        fit(run, after=lambda r, name=name: shares.append(r["domains"].share.tolist()) if name == "DDK" else None)
        marks[name] = world.measure(run["student"], world.data.valid)
    first = sum(share == shares[0] for share in shares)  # steps whose rows were drawn as they lie
    shares[:first] = [(world.marks["domain"].bincount() / world.size).tolist()] * first
    left.stackplot(range(len(shares)), *zip(*shares, strict=True), colors=COLOURS, alpha=0.75, step="post", lw=0)
    level = 0.0
    for name, share in zip(NAMES, shares[-1], strict=True):
        left.text(len(shares) - 4, level + share / 2, name, ha="right", va="center", color="white", fontsize=11)
        level += share
    left.set(xlim=(0, len(shares)), ylim=(0, 1), xlabel="step", ylabel="share of the draws (r, after the first 7 steps)")
    for i, name in enumerate(NAMES):
        ends = [marks[who][name] for who in ("student before", "teacher")]
        right.plot(ends, [i, i], color="lightgray", lw=6, zorder=0, solid_capstyle="butt")
        for k, end in enumerate(ends):
            right.plot(
                [end], [i], "|", color="black", ms=18, label=("student before (left), teacher (right)" if i + k == 0 else None)
            )
        for who, (_, marker, colour) in RUNS.items():
            right.plot(
                [marks[who][name]],
                [i],
                marker,
                color=colour,
                ms=7,
                alpha=0.85,
                label=f"{who}: {marks[who]['likelihood']:.2f}" if i == 0 else None,
            )
    right.set_yticks(range(4), NAMES)
    right.set(xlabel="log-likelihood of a token (nats), validation", ylim=(3.6, -0.6))
    right.legend(loc="upper right", fontsize=8, frameon=False, title="mean over domains", title_fontsize=8)
    return fig
