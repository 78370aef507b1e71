"""Handwritten digits in a picture and a phrase about one of them: where is it? Few phrases come with a box."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from understudy.core.batch import Batch, each
from understudy.core.errors import refuse
from understudy.core.seeds import stream
from understudy.core.world import Player, recast
from understudy.models.tiny import TransformerBlock
from understudy.parts.filters import overlapping
from understudy.parts.quantised import box_losses
from understudy.parts.schedule import cosine
from understudy.worlds._scarce import FewLabels, Scarce
from understudy.worlds.digits import Part, splits

SIDE, CLASSES, BINS = 24, 3, 12
WORDS = ("the", "left", "right", "upper", "lower", *"012")
KNOWN, TRAIN, VALID, TEST = 40, 800, 200, 400


class Grounder(nn.Module):
    """A transformer over the cells of a picture and the words of a phrase; then a decoder in which the phrase picks cells, for a
    box and, beside it, a softmax over strips for each of its sides.

    {picture [N, 1, S, S], words [N, L]} -> {box [N, 4] in pixels, bins [N, 4, K]}
    """

    def __init__(self, width: int, depth: int, heads: int = 2, side: int = SIDE) -> None:
        super().__init__()
        self.side = side
        self.encoder = nn.ModuleDict({
            "eye": nn.Sequential(
                nn.Conv2d(1, width, 3, 2, 1), nn.GroupNorm(2, width), nn.ReLU(),
                nn.Conv2d(width, width, 3, 2, 1), nn.GroupNorm(2, width), nn.ReLU(),
                nn.Conv2d(width, width, 3, 1, 1), nn.GroupNorm(2, width), nn.ReLU(),
            ),
            "words": nn.Embedding(len(WORDS), width), "place": nn.Linear(2, width),
            "blocks": nn.Sequential(*(TransformerBlock(width, heads) for _ in range(depth))),
        })  # fmt: skip
        self.decoder = nn.ModuleDict({
            "norm": nn.LayerNorm(width), "score": nn.Linear(width, width),
            "hidden": nn.Sequential(nn.Linear(2 * width + 2, 2 * width), nn.ReLU()),
            "box": nn.Linear(2 * width, 4), "bins": nn.Linear(2 * width, 4 * BINS),
        })  # fmt: skip
        self.register_buffer("first", torch.tensor([-1.0, -1.0, 1.0, 1.0]))  # a box begins a quarter of the picture's side wide

    def forward(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        e, d = self.encoder, self.decoder
        seen = e["eye"](x["picture"])
        axis = (torch.arange(seen.shape[-1], device=seen.device, dtype=seen.dtype) + 0.5) / seen.shape[-1]
        place = torch.cartesian_prod(axis, axis).flip(1)  # [cells, 2] as (x, y)
        cells = seen.flatten(2).mT + e["place"](place)
        both = d["norm"](e["blocks"](torch.cat([cells, e["words"](x["words"])], 1)))
        cells, phrase = both[:, : len(place)], both[:, len(place) :].mean(1)
        weight = (cells @ d["score"](phrase)[..., None]).softmax(1)  # [N, cells, 1]
        centre = (weight * place).sum(1)
        read = d["hidden"](torch.cat([(weight * cells).sum(1), phrase, centre], -1))
        box = self.side * (centre.repeat(1, 2) + (d["box"](read) + self.first) / 8)
        return {"box": box, "bins": d["bins"](read).unflatten(1, (4, BINS))}


@dataclass
class Grounding(FewLabels):
    """x {picture, words}, y [N, 4] a box, NaN where hidden. Scored by the share of boxes that overlap the true one by half."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.metric, self.share = "acc50", True

    def _taken(self, pick: Tensor) -> Batch:
        part: Any = self.data.train
        return Batch(x=each(part.x, lambda t: t[pick]), y=part.y[pick], row=pick)

    def hard(self, out: Any, batch: Batch) -> Tensor:
        """How far the box is off, and the cross-entropy of its sides' strips."""
        return torch.stack(box_losses(out["box"], out["bins"], batch.y, SIDE)).sum()

    def measure(self, made: nn.Module | Batch, split: Any) -> dict[str, float]:
        if not isinstance(made, nn.Module):
            raise refuse("artefact", type(made).__name__, "a network: pictures with boxes are no data set to be taught from")
        mode = made.training
        with torch.no_grad():
            box = made.eval()(split.x)["box"]
        made.train(mode)
        return {"acc50": overlapping(box.to(split.y), split.y, 0.5).float().mean().item()}

    def validate(self, artefact: nn.Module | Batch) -> float:
        return self.measure(artefact, self.data.valid)["acc50"]

    def score(self, artefact: nn.Module | Batch) -> float:
        return self.measure(artefact, self.data.test)["acc50"]


def grounding(seed: int = 0, *, ready: bool = False, small: bool = False, **changes: Any) -> Grounding:
    """800 pictures of 24 x 24 with three handwritten digits, 0 to 2 (scikit-learn's, real ones), each in a quarter of its own,
    and a phrase of two words about one: "the 2", or "left 2" where there are two of them. One phrase in twenty has a box.
    Pictures and phrases are composed, the writing isn't; writings of the three splits are different ones. A small transformer
    of cells and words.
    """
    steps = 300
    world = Grounding(
        seed=seed, task="regress", data=_made(small, torch.get_default_dtype()), batch=24, steps=steps,
        new_student=lambda: Grounder(24, 1), player=Player(functools.partial(torch.optim.Adam, lr=6e-3), cosine(steps)),
    )  # fmt: skip
    if small:
        world = recast(world, steps=24, new_student=lambda: Grounder(8, 1))
    return recast(world, **changes)


@functools.cache
def _made(small: bool, dtype: torch.dtype) -> Scarce:
    found, parts = splits(dtype), []
    for name, n in (("pool", 32), ("valid", 16)) if small else (("pool", TRAIN), ("valid", VALID), ("_test", TEST)):
        with stream("grounding", name):
            picture, words, boxes, _labels, which = composed(getattr(found, name), n)
        picture += 0.05 * torch.randn_like(picture)
        x: Any = {"picture": (picture - 0.15) / 0.3, "words": words}
        parts.append(Part(x, boxes[torch.arange(n), which]))
    return Scarce("regress", 4 if small else KNOWN, *parts)


def composed(digits: Part, n: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Three digits in quarters of their own, of which the phrase names one; from torch's own stream; -> picture [n, 1, 24, 24] in
    [0, 1], words [n, 2], boxes [n, 3, 4], labels [n, 3], which of them [n]"""
    picture, words = torch.zeros(n, 1, SIDE, SIDE, dtype=digits.x.dtype), torch.zeros(n, 2, dtype=torch.long)
    boxes, labels = torch.zeros(n, 3, 4, dtype=digits.x.dtype), torch.zeros(n, 3, dtype=torch.long)
    which, half = torch.randint(3, (n,)), SIDE // 2
    of = [(digits.y == c).nonzero()[:, 0] for c in range(CLASSES)]
    for i in range(n):
        a, b = torch.randperm(CLASSES)[:2].tolist()
        labels[i] = torch.tensor([a, a, b])
        for k, quarter in enumerate(torch.randperm(4)[:3].tolist()):
            c = int(labels[i, k])
            ink = (digits.x[of[c][torch.randint(len(of[c]), ())], 0] + 1) / 2
            rows, columns = ((ink > 0.2).any(d).nonzero()[:, 0] for d in (1, 0))
            tight = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            high, wide = int(torch.randint(7, 12, ())), int(torch.randint(5, 10, ()))
            top, left = (int((torch.rand(()) * (half - size)).round()) for size in (high, wide))
            top, left = top + half * (quarter // 2), left + half * (quarter % 2)
            picture[i, 0, top : top + high, left : left + wide] = F.interpolate(
                tight[None, None], (high, wide), mode="bilinear", align_corners=False
            )[0, 0] * (0.6 + 0.4 * torch.rand(()))
            boxes[i, k] = torch.tensor([left, top, left + wide, top + high])
        words[i] = torch.tensor([0 if which[i] == 2 else _relation(boxes[i], int(which[i])), 5 + labels[i, which[i]]])
    return picture, words, boxes, labels, which


def _relation(boxes: Tensor, k: int) -> int:
    """Where the k-th of the first two lies as seen from the other, along the axis on which they are further apart."""
    other = 1 - k
    apart = (boxes[k, :2] + boxes[k, 2:] - boxes[other, :2] - boxes[other, 2:]) / 2
    axis = int(apart.abs().argmax())
    return 1 + 2 * axis + int(apart[axis] > 0)
