"""LightHGNN's reliable hyperedges against its authors' values; its hyperedge term by hand."""

from math import log

import pytest
import torch
from torch import nn

from facts.reference import cases, inputs
from understudy.core.batch import Batch, Views
from understudy.core.registry import get
from understudy.core.world import World
from understudy.worlds import WORLDS


class Linear(nn.Module):
    """Nodes' logits are their features by a matrix."""

    def __init__(self, features, weight):
        super().__init__()
        self.features, self.weight = nn.Parameter(features), weight

    def forward(self, nodes, features=None):
        nodes = nodes.of("teacher") if isinstance(nodes, Views) else nodes
        return ((self.features if features is None else features) @ self.weight)[nodes]


@cases("LightHGNN")
def test_reliability_agrees_with_the_authors(record):
    x, weight = inputs(record).values()
    world = World()
    world.student, world.teacher = nn.Identity, lambda: Linear(x, weight)
    views = Views(student=x, teacher=torch.arange(len(x)))
    world.sweep = lambda: iter([Batch(x=views, edges=torch.tensor(record["pairs"]), edge=torch.arange(6))])
    torch.manual_seed(record["noise_seed"])
    nets = get("lighthgnn")(sigma=record["settings"]["hc_noise_level"]).setup(world)
    torch.testing.assert_close(nets["reliable"].rho, torch.tensor(record["rho"], dtype=torch.double), rtol=1e-6, atol=1e-9)


def test_hyperedges_by_hand():
    """Members (3/4, 1/4) and (1/4, 3/4) of the teacher are (1/2, 1/2) together; the student says (3/4, 1/4) of both, so KL is
    log(2 / sqrt 3); the second hyperedge isn't reliable at all."""
    world = WORLDS["hypergraph"](small=True)
    run = type("Run", (dict,), {"world": world})()
    u, s = torch.tensor([[log(3.0), 0.0], [0.0, log(3.0)]]), torch.tensor([[log(3.0), 0.0]] * 2)
    run.update(student=lambda x: s, teacher=lambda x: u, reliable=lambda e: torch.tensor([True, False]))
    batch = Batch(x=None, y=torch.tensor([-1, 0]), edges=torch.tensor([[0, 1, 1], [0, 0, 1]]), edge=torch.arange(2))
    found = get("lighthgnn")(lam=0.25, w=2.0).loss(run, batch)
    assert found["edges"].item() == pytest.approx(0.75 * 2 * log(2 / 3**0.5), rel=1e-6)
    assert found["soft"].item() == pytest.approx(0.75 * (0 + 0.5 * log(3)) / 2, rel=1e-6)  # KL is 0 and (3/4 - 1/4) log 3
    assert found["hard"].item() == pytest.approx(0.25 * log(4 / 3), rel=1e-6)
