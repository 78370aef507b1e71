"""Whether to trust an entropy: the unsure are wrong more often, and a model that was made surer isn't always right."""

from __future__ import annotations

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.parts.divergence import entropy
from understudy.worlds import WORLDS
from understudy.worlds.stream import FAULTS


@torch.no_grad()
def _asked(net: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Entropy and error of every row, asked in batches of 50."""
    said = torch.cat([net(part) for part in x.split(50)])
    return entropy(said), said.argmax(-1) != y


def scene() -> Figure:
    """Left the share of wrong answers by entropy before adapting, right the entropies before and after."""
    world = WORLDS["recurring"](1000, ready=True, split="valid")
    x = torch.cat([fault(world.data.valid.x, 0.8) for fault in FAULTS.values()])
    y = world.data.valid.y.repeat(len(FAULTS))
    run = start(get("tent")(), world, 1000, device="cpu")
    before, wrong = _asked(run["student"], x, y)
    after, wrong_after = _asked(fit(run)["student"], x, y)
    fig, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained", gridspec_kw={"width_ratios": (1, 1.3)})
    tenths = before.argsort().chunk(10)
    left.bar(range(10), [100 * wrong[t].double().mean() for t in tenths], color="tab:orange", width=0.85)
    left.set_xticks(range(10), [f"{before[t].mean():.2f}" for t in tenths], fontsize=8)
    left.set(
        xlabel="mean entropy of a tenth of the rows (nats)", ylabel="wrong answers (%)", title="the less sure, the more wrong"
    )
    edges = torch.linspace(0, 2, 41).tolist()
    for e, w, colour, name in ((before, wrong, "0.7", "before"), (after, wrong_after, "tab:blue", "after")):
        told = f"{name}: mean {e.mean():.3f}, wrong {100 * w.double().mean():.1f} %"
        right.hist(e.tolist(), bins=edges, histtype="stepfilled", alpha=0.55, color=colour, label=told)
    right.set(xlabel="entropy of a row (nats)", ylabel="rows", yscale="log", title="sharpened by 246 batches without labels")
    right.legend(frameon=False)
    return fig
