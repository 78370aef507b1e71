"""Tent: its gradient is that of the entropy, in closed form; who moves and who doesn't; nothing of the batch stays."""

import pytest
import torch
from torch import nn

from facts.given import terms
from understudy.core.batch import Batch
from understudy.core.errors import Refused
from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.core.world import recast
from understudy.worlds import WORLDS


def test_the_gradient_of_the_entropy(double):
    """dH/ds_k = - p_k (log p_k + H)"""
    s = torch.randn(4, 5, requires_grad=True)
    (term,) = terms(get("tent")(), WORLDS["digits"](0, small=True), Batch(x=s, y=torch.full((4,), -1)), student=s).values()
    (grad,) = torch.autograd.grad(term, s)
    p = s.detach().softmax(-1)
    h = -(p * p.log()).sum(-1, keepdim=True)
    torch.testing.assert_close(grad, -p * (p.log() + h) / 4)
    assert term.item() == pytest.approx(h.mean().item())


def test_only_scales_and_shifts_move_and_the_batch_leaves_nothing():
    run = start(get("tent")(), WORLDS["stream"](0, small=True), 1, device="cpu")
    before = {k: v.clone() for k, v in run["student"].state_dict().items()}
    fit(run, 3)
    moved = {k for k, v in run["student"].state_dict().items() if not torch.equal(v, before[k])}
    assert moved == {f"stage{i}.{w}" for i in ("1.1", "2.2") for w in ("weight", "bias")}
    assert not list(run["student"].buffers()), "no running statistics"


def test_entropy_falls_on_a_batch_that_stays():
    world = WORLDS["stream"](0, small=True)
    first = world.rows(0)
    run = start(get("tent")(), recast(world, rows=lambda step, split="train": first), 1, device="cpu")
    seen = []
    fit(run, 10, watch=lambda _run, _batch, told: seen.append(told["student"]["entropy"].item()))
    assert seen[-1] < seen[0]


def test_who_does_not_normalise_is_refused():
    plain = lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(Refused, match="normalises"):
        start(get("tent")(), recast(WORLDS["stream"](0, small=True), student=plain), 1, device="cpu")
