"""MHIM-MIL v2: whose evidence is masked, and what is recycled."""

import pytest
import torch

from understudy.core.registry import get
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.methods.hard.mhim_mil_v2 import Recycle
from understudy.worlds.bags import bags

mhim = get("mhim-mil-v2")


def at(method, step=2):
    run = start(method, bags(0, small=True), 0, device="cpu")
    run.step = step
    with stream(0, step):
        return run, method.source(run)


def test_the_clearest_evidence_is_neither_seen_nor_recycled(double):
    """p by a loop over bags and instances; 2 of 8 masked, half of the other 6 seen, the others recycled."""
    run, batch = at(mhim(high=0.25, kept=0.5, pretrain=0.0))
    net = run["teacher"]
    for i, x in enumerate(batch.x):
        h = net.encoder(x)
        a = net.attention(h).softmax(0)
        p = [(net.head.weight @ (a[k] * h[k])).softmax(0).max().item() for k in range(8)]
        gone = ~(batch.seen[i] | batch.recycled[i])
        assert set(gone.nonzero()[:, 0].tolist()) == set(sorted(range(8), key=lambda k: -p[k])[:2])
    assert not (batch.seen & batch.recycled).any() and (batch.seen.sum(1) == 3).all() and (batch.recycled.sum(1) == 3).all()


def test_what_is_masked_reaches_nobody(double):
    run, batch = at(mhim(high=0.25, kept=0.5, pretrain=0.0))
    run.nets.eval()
    first = run.method.loss(run, batch)
    gone = ~(batch.seen | batch.recycled)
    batch["x"] = torch.where(gone[..., None], 100.0, batch.x)
    second = run.method.loss(run, batch)
    assert all(first[k].item() == pytest.approx(second[k].item(), abs=1e-12) for k in first)
    batch["x"] = torch.where(batch.recycled[..., None], 100.0, batch.x)
    assert run.method.loss(run, batch)["hard"].item() != pytest.approx(first["hard"].item(), abs=1e-6)


def test_queries_follow_the_mean_of_their_answers_and_only_in_training(double):
    net, h, masked = Recycle(8, 3, 4, 0.75), torch.randn(5, 6, 8), torch.rand(5, 6) < 0.5
    masked[0] = False
    before = net.query.clone()
    told, there = net(h, masked)
    assert torch.allclose(net.query, 0.75 * before + 0.25 * told.detach().mean(0)) and told.shape == (5, 3, 8)
    assert torch.equal(there[:, 0], masked.any(1)) and not there[0].any()
    net.eval()
    after = net.query.clone()
    net(h, masked)
    assert torch.equal(net.query, after)
