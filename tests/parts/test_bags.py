"""Attention over bags of instances, and which instances are hidden."""

import math

import pytest
import torch

from understudy.parts.bags import AttentionMIL, GatedAttention, drawn, embedded, extreme, some, weights


def test_gated_attention_is_its_equation(double):
    """Instance by instance: w . (tanh(V h + b) * sigmoid(U h + c))."""
    net, h = GatedAttention(5, 3), torch.randn(2, 4, 5)
    got = net(h)
    for i in range(2):
        for k in range(4):
            gate = (net.v.weight @ h[i, k] + net.v.bias).tanh() * (net.u.weight @ h[i, k] + net.u.bias).sigmoid()
            assert got[i, k].item() == pytest.approx((net.w.weight[0] @ gate).item(), abs=1e-12)


def test_weights_are_over_what_is_kept(double):
    a, kept = torch.tensor([[0.0, math.log(3), 5.0], [1.0, 1.0, 1.0]]), torch.tensor([[True, True, False], [False] * 3])
    w = weights(a, kept)
    assert torch.allclose(w, torch.tensor([[0.25, 0.75, 0.0], [1 / 3, 1 / 3, 1 / 3]])), "nothing kept is everything kept"
    h = torch.tensor([[[4.0], [8.0], [100.0]], [[1.0], [2.0], [3.0]]])
    assert embedded(h, a, kept)[:, 0].tolist() == pytest.approx([7.0, 2.0])
    assert torch.equal(some(kept), torch.tensor([[True, True, False], [True] * 3]))


def test_a_hidden_instance_is_as_if_it_were_not_there(double):
    net, x = AttentionMIL(torch.nn.Linear(4, 6), 6, 3), torch.randn(2, 5, 4)
    kept = torch.ones(2, 5, dtype=torch.bool)
    kept[:, 3:] = False
    assert torch.allclose(net(x, kept), net(x[:, :3]))
    order = torch.randperm(5)
    assert torch.allclose(net(x[:, order]), net(x)), "a bag has no order"


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.1, 3), (0.101, 4), (1.0, 30)])
def test_extreme_against_a_loop(share, count):
    score = torch.randn(3, 30)
    for highest in (True, False):
        got = extreme(score, share, highest=highest)
        for row, mask in zip(score, got, strict=True):
            assert set(mask.nonzero()[:, 0].tolist()) == set(row.sort(descending=highest).indices[:count].tolist())


def test_drawn_is_a_share_of_those_and_of_no_other():
    among = torch.rand(50, 20) < 0.5
    got = drawn(among, 0.3)
    assert not (got & ~among).any()
    assert got.sum(1).tolist() == [math.ceil(0.3 * n) for n in among.sum(1).tolist()]
    assert torch.equal(drawn(among, 1.0), among) and not drawn(among, 0.0).any()
