"""ULD where teacher and student read through different tokenizers: where both have come as far in the text (a line through both rows), the student is
asked to be as sure of its likeliest words as the teacher is of its own. Right: the mean of sorted probabilities over 2,000 held-out places."""

import itertools

import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.batch import each
from understudy.core.fit import fit
from understudy.core.run import start
from understudy.data.chats import Document, Reader
from understudy.data.code import library, train_tokenizer
from understudy.models.lm import evaluating
from understudy.worlds import WORLDS

LINE = "def union(self, *others):\n    return self | others"


def scene() -> Figure:
    world = WORLDS["tongues"](1000, ready=True)
    fig, (left, right) = plt.subplots(1, 2, figsize=(11, 3.9), width_ratios=(1.45, 1), layout="constrained")
    borders(left)
    made = {name: fit(start(registry.get(name)(), world, 0, device="cpu")) for name in ("alone", "uld")}
    lines = {
        "teacher": ("teacher", made["uld"]["teacher"], "black"),
        "text alone": ("student", made["alone"]["student"], "tab:gray"),
        "ULD": ("student", made["uld"]["student"], "tab:red"),
    }
    for label, (view, net, colour) in lines.items():
        right.plot(
            range(1, 21),
            ranks(net, world.data.valid.x, view),
            color=colour,
            label=label,
            lw=2,
            ls=":" if label == "teacher" else "-",
        )
    right.set(xlabel="rank of a word among its model's own", ylabel="probability, mean", yscale="log")
    right.legend()
    return fig


def borders(ax) -> None:
    """One line of code as each tokenizer cuts it."""
    texts = library(600_000)
    texts = texts[: len(texts) * 8 // 10]
    readers = [Reader(train_tokenizer(texts[i::2], n)) for i, n in enumerate((512, 400))]
    ends = [{e for e in r.encode(Document(((LINE, True),))).ends if 0 <= e <= len(LINE)} for r in readers]
    for row, (name, own) in enumerate(zip(("student, 512 words", "teacher, 400 words"), ends, strict=True)):
        at = sorted({0} | own)
        for a, b in itertools.pairwise(at):
            ax.add_patch(
                plt.Rectangle((a, 0.5 - row), b - a, 0.4, facecolor="#dce6f2" if row else "#f7dfd0", edgecolor="white", lw=2)
            )
            ax.text(
                (a + b) / 2,
                0.7 - row,
                LINE[a:b].replace("\n", "⏎").replace(" ", "·"),
                ha="center",
                va="center",
                family="monospace",
                fontsize=7.5,
            )
        ax.text(0, 1.0 - row, name, fontsize=9)
    both = sorted(ends[0] & ends[1])
    ax.vlines(both, -0.55, 0.95, color="tab:green", lw=1)
    ax.set(xlim=(0, len(LINE)), ylim=(-0.7, 1.2))
    ax.axis("off")
    ax.set_title(f"{len(both)} places at which both are asked", fontsize=10, color="tab:green")


@torch.no_grad()
def ranks(net, x, view):
    """Mean of the 20 largest probabilities over the places asked for in 200 rows."""
    with evaluating(net):
        out = net(each(x.of(view), lambda t: t[:200])).rows()
        return out.dense().softmax(-1).topk(20).values.mean(0)
