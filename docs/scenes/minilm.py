"""What a student attends to, with its teacher's relations and without."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.run import artefact, start
from understudy.core.taps import probe
from understudy.methods import alone, minilm
from understudy.parts.selfattention import relation
from understudy.worlds.encoders import encoders

SENTENCE = "the sheep that walks these old calls cooks ."


def scene() -> Figure:
    """One sentence through three networks: who looks where in the last layer, and what can be read off it."""
    world = encoders(0, ready=True)
    learned = {
        name: artefact(fit(start(method, world, 0, device="cpu"))) for name, method in (("alone", alone()), ("MiniLM", minilm()))
    }
    words = SENTENCE.split()
    ids = torch.tensor([[world.data.words.index(w) for w in words]])
    x = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    at = tuple(f"stage:-1.attention.self.{part}" for part in ("query", "key"))
    maps = {}
    for name, net in {"teacher": world.teacher(), **learned}.items():
        q, k = probe(net, at, x)
        maps[name] = relation(q, k, x["attention_mask"] > 0, 4).exp()[0]
    sharpest = int(maps["teacher"].amax(-1).mean(-1).argmax())
    figure = Figure(figsize=(9.6, 3.9), layout="constrained")
    for i, name in enumerate(("teacher", "MiniLM", "alone")):
        net = world.teacher() if name == "teacher" else learned[name]
        axis = figure.add_subplot(1, 3, i + 1)
        image = axis.imshow(maps[name][sharpest].numpy(), cmap="magma", vmin=0, vmax=1)
        axis.set_xticks(range(len(words)), words, rotation=60, ha="right", rotation_mode="anchor")
        axis.set_yticks(range(len(words)), words if i == 0 else [])
        axis.set_xlabel("is looked at")
        title = {"teacher": "teacher", "MiniLM": "with MiniLM", "alone": "student alone"}[name]
        size = sum(p.numel() for p in net.parameters())
        axis.set_title(f"{title}, {size:,} parameters\ntags read off it: {100 * world.validate(net):.0f} %", fontsize=9)
        if i == 0:
            axis.set_ylabel("who looks")
    figure.suptitle("Each word looks for the one that tells its number", fontsize=11)
    figure.colorbar(image, ax=figure.axes, label=f"attention, last layer, head {sharpest + 1}", shrink=0.75)
    return figure
