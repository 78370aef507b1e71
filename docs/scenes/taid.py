"""TAID: how far the target has come, and what it says of one word on its way from the student to the teacher."""

import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.fit import fit
from understudy.core.run import start
from understudy.worlds import WORLDS
from understudy.worlds.texts import tokenised

ROW, PLACE, WORDS = 3, 20, 14


def scene() -> Figure:
    world = WORLDS["texts"](1000, ready=True)
    fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), width_ratios=(1, 1.6), layout="constrained")
    for alpha, colour in ((5e-4, "tab:red"), (0.02, "tab:orange")):
        run, seen, said = start(registry.get("taid")(alpha=alpha), world, 1000, device="cpu"), [], {}
        fit(run, after=lambda r, seen=seen, said=said: (seen.append(r["course"].t.item()), said.update(target(r)))[0])
        left.plot(range(1, len(seen) + 1), seen, color=colour, lw=2, label=f"alpha = {alpha:g}")
        if alpha == 5e-4:
            shown = said
    left.plot([0, world.steps], [0.4, 1], color="black", ls=":", label="straight line")
    left.set(xlabel="update", ylabel="t: 0 is the student, 1 the teacher", ylim=(0, 1.02))
    left.legend(frameon=False, loc="lower right")
    columns = [*shown.values()]
    u = answer(world.teacher(), world.data.valid)
    best = u.argsort(descending=True)[:WORDS]
    grid = torch.stack([c[best] for c in columns] + [u[best]], 1)
    image = right.imshow(grid, cmap="magma", aspect="auto")
    names = tokenised(600_000, 512)[1]
    right.set_yticks(
        range(WORDS), [repr(names.decode([i])) for i in best.tolist()], family="monospace", fontsize=8, parse_math=False
    )
    right.set_xticks(range(len(columns) + 1), [*map(str, shown), "teacher"])
    before = names.decode(world.data.valid.x["input_ids"][ROW, PLACE - 9 : PLACE + 1]).replace("\n", "⏎")
    right.set_title(f"p_t of the word after  {before!r}", fontsize=9, parse_math=False)
    right.set_xlabel("update")
    fig.colorbar(image, ax=right, label="probability in the target")
    return fig


@torch.no_grad()
def answer(net, part):
    """Logits of one place of one validation row, softmaxed."""
    return net({k: v[ROW : ROW + 1] for k, v in part.x.items()}).dense()[0, PLACE].softmax(-1)


def target(run):
    """{update: p_t} at some updates."""
    if run.step not in (1, 25, 50, 75, 100, 125, 150, 175, 200):
        return {}
    s, u = (answer(run[k], run.world.data.valid).log() for k in ("student", "teacher"))
    t = run["course"].t.item()
    return {run.step: ((1 - t) * s + t * u).softmax(-1)}
