"""The hypergraph, its teacher, and the reader of citation graphs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from understudy.core.errors import Refused
from understudy.worlds import WORLDS
from understudy.worlds.hypergraph import Hgnn


def test_teacher_is_pygs_hypergraph_convolution_twice() -> None:
    nn = pytest.importorskip("torch_geometric.nn")
    world = WORLDS["hypergraph"](0, small=True)
    net, data = world.teacher().eval(), world.data
    x = data.features
    for i, layer in enumerate((net.first, net.second)):
        conv = nn.HypergraphConv(layer.in_features, layer.out_features)
        conv.load_state_dict({"lin.weight": layer.weight, "bias": layer.bias})
        x = conv(x, data.edges)
        x = x.relu() if i == 0 else x
    torch.testing.assert_close(net(torch.arange(64)), x)


def test_a_batch_brings_its_hyperedges() -> None:
    world = WORLDS["hypergraph"](0, small=True)
    batch = world.rows(0)
    edges = world.data.edges
    for e, number in enumerate(batch.edge.tolist()):
        inside = batch.row[batch.edges[0, batch.edges[1] == e]].tolist()
        assert len(inside) >= 2 and set(inside) == set(edges[0, edges[1] == number].tolist()) & set(batch.row.tolist())
    (everything,) = world.sweep()
    assert torch.equal(everything.row, torch.arange(64)) and everything.edges.shape == edges.shape
    assert (everything.y >= 0).sum() == 12 and torch.equal(everything.x["teacher"], everything.row)


def graph(**changes: object) -> dict[str, object]:
    """Four papers in a row, three words."""
    given = {"edges": [[0, 1], [1, 2], [2, 3]], "feat_indptr": [0, 2, 3, 3, 4], "feat_indices": [0, 2, 1, 0], "feat_values": [1.0, 3.0, 1.0, 2.0],
             "num_features": 3, "labels": [0, 1, 0, 1], "train": [0, 1], "val": [2], "test": [3]}  # fmt: skip
    return {k: np.array(v) for k, v in {**given, **changes}.items() if v is not None}


def test_citation_graph(tmp_path: Path) -> None:
    np.savez(tmp_path / "g.npz", **graph())
    world = WORLDS["hypergraph"](0, path=tmp_path / "g.npz")
    data = world.data
    torch.testing.assert_close(data.features, torch.tensor([[0.25, 0, 0.75], [0, 1, 0], [0, 0, 0], [1, 0, 0]]))
    groups = [sorted(data.edges[0, data.edges[1] == e].tolist()) for e in range(4)]
    assert groups == [[0, 1], [0, 1, 2], [1, 2, 3], [2, 3]]
    assert data.train.y.tolist() == [0, 1, -1, -1] and data.valid.y.tolist() == [0]
    assert world.teacher()(torch.tensor([3, 0])).shape == (2, 2) and isinstance(world.teacher(), Hgnn)


@pytest.mark.parametrize(("changes", "said"), [({"labels": None}, "lacks labels"), ({"edges": [[0, 9]]}, "within 4 nodes")])
def test_what_cannot_be_read_is_refused(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    np.savez(tmp_path / "g.npz", **graph(**changes))
    with pytest.raises(Refused, match=said):
        WORLDS["hypergraph"](0, path=tmp_path / "g.npz")
    with pytest.raises(Refused, match=r"hypergraph\.path"):
        WORLDS["hypergraph"](0, path=tmp_path / "none.npz")
