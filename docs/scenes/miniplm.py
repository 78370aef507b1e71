"""MiniPLM on a crawl: what the teacher finds likelier than the reference does, what is left out, and what the student gains by that."""

import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.fit import fit
from understudy.core.run import start
from understudy.methods.language.miniplm import difference
from understudy.worlds import WORLDS
from understudy.worlds.crawl import NAMES, SIZE, WORDS, _tokens

COLOURS = ("tab:blue", "tab:green", "tab:gray", "tab:orange")


def scene() -> Figure:
    world = WORLDS["crawl"](1000, ready=True)
    fig, axes = plt.subplot_mosaic(
        [["r", "learns"], ["best", "worst"]], figsize=(10.5, 6), height_ratios=(1.7, 1), layout="constrained"
    )
    for name, keep, colour in (("all rows", 1.0, "tab:gray"), ("MiniPLM: the better half", 0.5, "tab:red")):
        run = start(registry.get("miniplm")(keep=keep), world, 1000, device="cpu")
        seen: list[tuple[int, float]] = []
        fit(
            run,
            after=lambda r, seen=seen: (
                seen.append((r.step * 16 * 48 / 1000, world.validate(r["student"]))) if r.step % 25 == 0 else None
            ),
        )
        axes["learns"].plot(*zip(*seen, strict=True), "o-", ms=3, color=colour, label=name)
    axes["learns"].set(xlabel="thousand tokens read", ylabel="log-likelihood of a token of clean text (nats)")
    axes["learns"].legend(frameon=False, loc="lower right")
    r, y, kind = (torch.cat(part) for part in zip(*((difference(run.nets, b), b.y, b.kind) for b in world.sweep()), strict=True))
    edge = r.sort(descending=True).values[len(r) // 2 - 1].item()
    axes["r"].hist([r[kind == k].tolist() for k in range(4)], bins=60, stacked=True, color=COLOURS, label=NAMES)
    axes["r"].axvline(edge, color="black", ls=":")
    axes["r"].text(edge, axes["r"].get_ylim()[1] * 0.97, " kept →", va="top")
    axes["r"].set(xlabel="r = log p - log p_ref, nats a token", ylabel="texts")
    axes["r"].legend(frameon=False)
    tokenizer, order = _tokens(SIZE, WORDS)[1], r.argsort(descending=True).tolist()
    for where, rows, title in (
        ("best", order[:4], "highest r: kept"),
        ("worst", order[len(order) // 2 :: len(order) // 8], "left out, from the line down"),
    ):
        axes[where].axis("off")
        axes[where].set_title(title, fontsize=10, loc="left")
        for i, row in enumerate(rows):
            said = tokenizer.decode(y[row]).replace("\n", "⏎")[:62]
            axes[where].text(0, 0.85 - 0.24 * i, f"{r[row]:+.2f}  {said}", family="monospace", fontsize=7.5, color=COLOURS[int(kind[row])],
                             transform=axes[where].transAxes, parse_math=False)  # fmt: skip
    return fig
