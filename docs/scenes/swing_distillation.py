"""Swing distillation on text with pins in it: what a student keeps against what it lets out, and a pin letter by letter."""

import math

import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.fit import fit
from understudy.core.run import start
from understudy.worlds import WORLDS
from understudy.worlds.secrets import DIGITS, OTHERS, SIZE, WORDS, _lines, numbers

RUNS = {
    "plain distillation": {"high": 1.0, "noise": 0.0},
    "noise alone": {"high": 1.0},
    "swing alone": {"noise": 0.0},
    "swing and noise": {},
}
COLOURS = ("tab:gray", "tab:olive", "tab:cyan", "tab:red")


def scene() -> Figure:
    world = WORLDS["secrets"](1000, ready=True)
    _, tokenizer, digits = _lines(SIZE, WORDS)
    fig, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4), width_ratios=(1, 1.25), layout="constrained")
    nets = {"teacher": world.teacher()}
    for name, fields in RUNS.items():
        nets[name] = fit(start(registry.get("swing-distillation")(**fields), world, 1000, device="cpu"))["student"]
    for (name, net), colour in zip(nets.items(), ("black", *COLOURS), strict=True):
        at = world.measure(net, world.data.valid)["likelihood"], world.exposure(net, world.held)
        left.plot(*at, "*" if name == "teacher" else "o", ms=12 if name == "teacher" else 9, color=colour, label=name, alpha=0.85)
    left.axhline(math.log(1 + OTHERS), color="lightgray", lw=1)
    left.axhline(1.0, color="lightgray", ls=":", lw=1)
    left.text(left.get_xlim()[0], 1.03, " about what chance gives", fontsize=8, color="gray", va="bottom")
    left.text(
        left.get_xlim()[0], math.log(1 + OTHERS) - 0.05, " the pin is the likeliest of 200", fontsize=8, color="gray", va="top"
    )
    left.set(
        xlabel="log-likelihood of a token of other code (nats)", ylabel="exposure of a pin (nats), mean of six", ylim=(0, 5.6)
    )
    left.legend(frameon=False, fontsize=8, loc="center right")
    secret = max(world.held, key=lambda s: world.exposure(nets["teacher"], [s]))
    ids = secret.ids[:1]
    words = [tokenizer.decode([i]) for i in ids[0].tolist()]
    t = 1 + 9 * numbers(ids, digits)[0]
    rows = []
    for net in nets.values():
        with torch.no_grad():
            logp = net({"input_ids": ids[:, :-1]}).dense().log_softmax(-1)[0]
        rows.append(logp.gather(-1, ids[0, 1:, None]).squeeze(-1)[-DIGITS - 3 :].exp())
    image = right.imshow(torch.stack(rows), cmap="Reds", vmin=0, vmax=1, aspect="auto")
    for i, row in enumerate(rows):
        for j, p in enumerate(row.tolist()):
            right.text(j, i, f"{p:.2f}", ha="center", va="center", fontsize=9, color="white" if p > 0.6 else "black")
    shown = [f"'{w}'\nt = {x:.1f}" for w, x in zip(words[-DIGITS - 3 :], t[-DIGITS - 3 :].tolist(), strict=True)]
    right.set_xticks(range(len(shown)), shown, fontsize=9)
    right.set_yticks(range(len(nets)), list(nets))
    right.set_title(f"probability of each word of '{tokenizer.decode(ids[0])}'", fontsize=10)
    fig.colorbar(image, ax=right, shrink=0.8)
    return fig
