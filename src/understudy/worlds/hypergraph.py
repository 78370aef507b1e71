"""Nodes of some classes whose features say little, and hyperedges that mostly hold nodes of one class.

The teacher reads the hypergraph, the student a node's own features and nothing else. All nodes are there from the beginning, those
of the test split too, and few have a label: what is learned from is the whole hypergraph with the other labels hidden.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core import seal
from understudy.core.batch import Batch, Views
from understudy.core.errors import Sealed, refuse
from understudy.core.seeds import stream
from understudy.core.world import Player
from understudy.data.limits import arrays
from understudy.data.raw import reading
from understudy.parts.hypergraph import means, touching
from understudy.worlds.rows import Rows, trained


@dataclass(frozen=True)
class Part:
    x: Any
    y: Tensor


@dataclass(frozen=True)
class Graph:
    """features [N, D]; edges [2, I] pairs (node, hyperedge), every node in one at least; y [N], -1 where nobody knows."""

    features: Tensor
    edges: Tensor
    y: Tensor
    labelled: Tensor
    chosen: Tensor  # nodes to choose on
    sealed: bool
    _held: Tensor  # nodes to score on

    @property
    def train(self) -> Part:
        """All nodes, with the labels of few."""
        y = torch.full_like(self.y, -1).scatter(0, self.labelled, self.y[self.labelled])
        return Part(self._views(torch.arange(len(y))), y)

    @property
    def valid(self) -> Part:
        return Part(self._views(self.chosen), self.y[self.chosen])

    @property
    def test(self) -> Part:
        seal.check("the test split of hypergraph")
        if self.sealed:
            raise Sealed("the test split of a small world was read")
        return Part(self._views(self._held), self.y[self._held])

    def _views(self, nodes: Tensor) -> Views:
        return Views(student=self.features[nodes], teacher=nodes)

    @property
    def classes(self) -> int:
        return int(self.y.max()) + 1


class Hgnn(nn.Module):
    """Two hypergraph convolutions, D^-1 H B^-1 H^T X W + b each (HGNN+, Gao et al. 2022): nodes tell their hyperedges, which tell
    their nodes. It holds the hypergraph and answers for node numbers [N] -> [N, classes]; features: others than its own, [all, D]."""

    features: Tensor
    edges: Tensor

    def __init__(self, features: Tensor, edges: Tensor, hidden: int, classes: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.register_buffer("features", features)
        self.register_buffer("edges", edges)
        self.groups = int(edges[1].max()) + 1
        self.first, self.second = nn.Linear(features.shape[1], hidden), nn.Linear(hidden, classes)
        self.drop = nn.Dropout(dropout)

    def spread(self, x: Tensor) -> Tensor:
        return means(means(x, self.edges, self.groups), self.edges.flip(0), len(x))

    def forward(self, nodes: Tensor, features: Tensor | None = None) -> Tensor:
        x = self.features if features is None else features
        x = self.drop(torch.relu(self.spread(x @ self.first.weight.T) + self.first.bias))
        return (self.spread(x @ self.second.weight.T) + self.second.bias)[nodes]


@dataclass
class Nodes(Rows):
    """Rows are nodes; edges [2, I] and edge [M] are the hyperedges among those of a batch, and their numbers."""

    def rows(self, step: int, split: str = "train") -> Batch:
        return self._with_edges(super().rows(step, split))

    def sweep(self) -> Iterator[Batch]:
        """All nodes in one batch."""
        everything = self.data.train
        yield self._with_edges(Batch(x=everything.x, y=everything.y, row=torch.arange(self.size)), least=1)

    def _with_edges(self, batch: Batch, least: int = 2) -> Batch:
        edges, edge = touching(self.data.edges, batch.x["teacher"], self.size, least)
        return Batch(batch | {"edges": edges, "edge": edge})


def hypergraph(
    seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any
) -> Nodes:
    """The world, all nodes in every batch; `ready` trains its teacher. path: an npz of a citation graph (features as CSR, edges,
    labels, train/val/test) instead of the generated one, a node and its neighbours being a hyperedge."""
    dtype = torch.get_default_dtype()
    graph = _cited(Path(path), small, dtype) if path is not None else _generated(seed, small, dtype)
    wide, hidden = (8, 8) if small else (32, 128) if path is not None else (32, 64)
    steps = 24 if small else 200
    world = Nodes(
        seed=seed, steps=steps, data=graph, batch=8 if small else len(graph.y),
        new_student=lambda: _mlp(graph.features.shape[1], hidden, graph.classes, 0.0 if small else 0.5),
        player=Player(functools.partial(torch.optim.Adam, lr=0.01, weight_decay=5e-4)),
    )  # fmt: skip
    with stream(seed, "teacher"):
        world.given_teacher = Hgnn(graph.features, graph.edges, wide, graph.classes)
    if ready:
        world.given_teacher = _teacher(seed, small, path, dtype)
    vars(world).update(changes)
    return world


def _mlp(width: int, hidden: int, classes: int, dropout: float) -> nn.Module:
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, classes))


@dataclass(frozen=True)
class _Numbers:
    """The same rows as a teacher sees them."""

    train: Part
    valid: Part


@functools.cache
def _teacher(seed: int, small: bool, path: str | Path | None, _dtype: torch.dtype) -> nn.Module:
    world = hypergraph(seed, small=small, path=path)
    numbers = _Numbers(*(Part(p.x["teacher"], p.y) for p in (world.data.train, world.data.valid)))
    plain = Rows(seed=seed, data=numbers, batch=world.batch, player=world.player)
    assert world.given_teacher is not None
    return trained(plain, world.given_teacher, world.steps, seed)


# ------------------------------------------------------------------------------------------------------------ the generated one


@functools.cache
def _generated(seed: int, small: bool, dtype: torch.dtype) -> Graph:
    """One hyperedge in four holds nodes of any class."""
    nodes, classes, dim, edges, labels, chosen = (64, 3, 6, 48, 12, 20) if small else (600, 5, 32, 420, 50, 200)
    with stream(seed, "hypergraph"):
        y = torch.arange(nodes) % classes
        y = y[torch.randperm(nodes)]
        features = torch.randn(classes, dim)[y] * 0.3 + torch.randn(nodes, dim)
        member = []
        for e in range(edges):
            among = torch.arange(nodes) if e % 4 == 3 else (y == e % classes).nonzero()[:, 0]
            member.append(among[torch.randperm(len(among))[: int(torch.randint(3, 9, ()))]])
        alone = sorted(set(range(nodes)) - set(torch.cat(member).tolist()))
        member += [torch.tensor([v]) for v in alone]
        mixed = torch.randperm(nodes)
        within = torch.stack([(y[mixed] == c).long().cumsum(0) for c in range(classes)])[y[mixed], torch.arange(nodes)]
        mixed = mixed[within.argsort(stable=True)]  # as many labels of each class
    learned, chosen_on, held = mixed.split([labels, chosen, nodes - labels - chosen])
    return Graph(features.to(dtype), _pairs(member), y, learned, chosen_on, small, held)


def _pairs(member: list[Tensor]) -> Tensor:
    """Lists of members as pairs (node, hyperedge)."""
    number = torch.repeat_interleave(torch.arange(len(member)), torch.tensor([len(m) for m in member]))
    return torch.stack([torch.cat(member), number])


# ------------------------------------------------------------------------------------------------------------- a citation graph


@functools.cache
def _cited(file: Path, small: bool, dtype: torch.dtype) -> Graph:
    """Words of a paper sum to 1, as usual for these graphs; its hyperedge is the paper and all that it cites or is cited by."""
    if not file.is_file():
        raise refuse("hypergraph.path", str(file), "an npz file of a citation graph", "give the file itself, e.g. cora.npz")
    with reading(file, "npz without pickled objects"):
        held = arrays(file)
    needed = ("edges", "feat_indptr", "feat_indices", "feat_values", "num_features", "labels", "train", "val", "test")
    if missing := sorted(set(needed) - set(held)):
        raise refuse("hypergraph.path", str(file), f"an npz with {', '.join(needed)}", f"it lacks {', '.join(missing)}")
    got = {k: torch.as_tensor(held[k].astype("float64" if k == "feat_values" else "int64")) for k in needed}
    nodes = len(got["labels"])
    fits = got["edges"].dim() == 2 and got["edges"].shape[1] == 2 and int(got["edges"].max()) < nodes
    if not fits or len(got["feat_indptr"]) != nodes + 1:
        raise refuse("hypergraph.path", str(file), f"edges [E, 2] within {nodes} nodes and a feature row a label",
                     f"edges are {list(got['edges'].shape)}, feat_indptr has {len(got['feat_indptr'])} entries")  # fmt: skip
    row = torch.repeat_interleave(torch.arange(nodes), got["feat_indptr"].diff())
    features = torch.zeros(nodes, int(got["num_features"]), dtype=torch.double)
    features[row, got["feat_indices"]] = got["feat_values"]
    features = features / features.sum(-1, keepdim=True).clamp(min=1e-12)
    a, b = got["edges"].T
    own = torch.arange(nodes)
    pairs = torch.unique(torch.stack([torch.cat([own, a, b]), torch.cat([own, b, a])]), dim=1)
    return Graph(features.to(dtype), pairs, got["labels"], got["train"], got["val"], small, got["test"])
