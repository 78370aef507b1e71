"""Handwritten digits as vision transformers see them, patch by patch: few have labels, and something was learned before."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core.seeds import stream
from understudy.core.world import Player, recast
from understudy.parts.masked import Decoder, Encoder, Masked, Restoring
from understudy.parts.schedule import cosine
from understudy.worlds._pictures import Pictures, pictures
from understudy.worlds._scarce import FewLabels, Scarce
from understudy.worlds.digits import Few, Part
from understudy.worlds.rows import Rows, trained

LIMIT = 1800  # pictures of a folder that are learned from, a sixth of them for validation, and as many for the test
KNOWN = 100  # labels
LOUD = 3.0  # how loud places are told, next to patches of few values
SHARE = 0.75  # of the patches, hidden while a teacher or a start learns


class Lead(nn.Module):
    """A masked autoencoder as it was pretrained, and the classifier that it was tuned to.

    Of a row: logits, [N, C]; of one of which patches are hidden: what is halfway through the decoder of the first, about all
    patches, [N, L, D].
    """

    def __init__(self, pretrained: Masked, tuned: Masked) -> None:
        super().__init__()
        self.pretrained, self.tuned = pretrained, tuned

    def forward(self, x: Tensor, hidden: Tensor | None = None) -> Tensor:
        if hidden is None:
            return self.tuned(x)  # type: ignore[no-any-return]
        decoder = self.pretrained.decoder
        assert decoder is not None
        return decoder.states(self.pretrained.encoder(x, hidden), hidden, (len(decoder.blocks) + 1) // 2)


def patchwork(
    seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any
) -> FewLabels:
    """897 handwritten digits [1, 8, 8] of scikit-learn in 16 patches, 100 of them with a label; half of a batch has labels. A
    vision transformer of 10,200 weights that begins untrained, 240 updates of 32 rows.

    The teacher, of 58,000 weights, was a masked autoencoder of all rows for 300 updates and was then tuned to the labels that the
    student has too, in 200. path: a folder with the files of MNIST or CIFAR-10, or with a folder a class: 1,500 pictures are
    learned from, in patches of a quarter of their sides."""
    found, steps = _pictures(path), 24 if small else 240
    data = Scarce("classify", KNOWN, found.train, found.valid, found._test)
    if small:
        data = data.few("classify", 8, 64)
    world = FewLabels(
        seed=seed, data=data, batch=8 if small else 32, steps=steps, player=_player(steps),
        new_student=functools.partial(_net, found, 8 if small else 24, 1 if small else 2),
    )  # fmt: skip
    if ready and not small:
        world.given_teacher = _lead(seed, None if path is None else str(path), torch.get_default_dtype())
    else:
        with stream(seed, "teacher"):
            world.given_teacher = Lead(*(_net(found, 12, 1, 8) for _ in range(2)))
    return recast(world, **changes)


def patchwork_moved(
    seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any
) -> Rows:
    """A vision transformer of 28,000 weights, decoder and all, that was a masked autoencoder of scikit-learn's digits 0 to 4 for
    200 updates moves on to 5 to 9, of which there are 100, labelled; 240 updates of 32 rows. Every student begins with those
    weights under a fresh head.

    path: pictures as in `patchwork`, of whose classes the first half was learned before."""
    found, steps = _pictures(path), 24 if small else 240
    half = (int(found.train.y.max()) + 1) // 2
    later = lambda part, most: Part(part.x[part.y >= half][:most], part.y[part.y >= half][:most] - half)
    data: Any = Pictures(later(found.train, 100), later(found.valid, None), later(found._test, None))
    if small:
        data = Few(data)
        with stream(seed, "start"):
            start = _net(found, 8, 1, 8)
    else:
        start = _start(seed, None if path is None else str(path), ready, torch.get_default_dtype())
    world = Rows(seed=seed, data=data, batch=8 if small else 32, steps=steps, player=_player(steps),
                 new_student=lambda: _begun(start, int(data.train.y.max()) + 1))  # fmt: skip
    return recast(world, **changes)


def _pictures(path: str | Path | None) -> Pictures:
    return pictures(None if path is None else str(path), LIMIT, torch.get_default_dtype())


def _player(steps: int) -> Player:
    return Player(functools.partial(torch.optim.AdamW, lr=3e-3, weight_decay=0.05), cosine(steps, steps // 10), 1.0)


def _net(found: Pictures, width: int, depth: int, decoder: int = 0) -> Masked:
    """decoder: its width, as deep as the encoder; 0 for none"""
    shape = tuple(found.train.x.shape[1:])
    encoder = Encoder(shape, tuple(max(1, side // 4) for side in shape[1:]), width, depth, LOUD)
    values = encoder.embed.in_features
    above = Decoder(encoder.grid, width, decoder, depth, values) if decoder else None
    return Masked(encoder, above, _head(width, int(found.train.y.max()) + 1))


def _begun(start: Masked, classes: int) -> Masked:
    """A copy with a fresh head."""
    net = copy.deepcopy(start)
    net.head = _head(net.encoder.width, classes)  # type: ignore[arg-type]
    return net


def _head(width: int, classes: int) -> nn.Module:
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes))


def _pretrained(world: Rows, net: Masked, steps: int, seed: int) -> Masked:
    """A masked autoencoder of the world's rows."""
    alone: Any = recast(world, hard=lambda out, _batch: out.mean(), player=_player(steps))
    learned: Any = trained(alone, Restoring(net, SHARE), steps, seed)
    made: Masked = learned.net
    return made


@functools.lru_cache(maxsize=4)
def _lead(seed: int, path: str | None, _dtype: torch.dtype) -> nn.Module:
    world, found = patchwork(seed, path=path), _pictures(path)
    with stream(seed, "teacher"):
        net = _net(found, 48, 2, 32)
    pretrained = _pretrained(recast(world, portion=KNOWN / world.size, batch=64), net, 300, seed)
    tuned = Masked(copy.deepcopy(pretrained.encoder), None, copy.deepcopy(pretrained.head))
    labels = recast(world, portion=1.0, player=_player(200))
    return Lead(pretrained, trained(labels, tuned, 200, seed))  # type: ignore[arg-type]


@functools.lru_cache(maxsize=4)
def _start(seed: int, path: str | None, ready: bool, _dtype: torch.dtype) -> Masked:
    found = _pictures(path)
    half = (int(found.train.y.max()) + 1) // 2
    with stream(seed, "start"):
        net = _net(found, 32, 2, 24)
    if not ready:
        return net
    first = found.train.y < half
    data = Pictures(Part(found.train.x[first], found.train.y[first]), found.valid, found._test)
    return _pretrained(Rows(seed=seed, data=data, batch=64, steps=200), net, 200, seed)
