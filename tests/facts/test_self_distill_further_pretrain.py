"""Further pre-training, from the same start once more, near to where it led; then labels."""

import copy

import pytest
import torch

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.worlds.patchwork import patchwork_moved

METHOD = get("self-distill-further-pretrain")


def run(**settings):
    return start(METHOD(**settings), patchwork_moved(0, small=True), 1, device="cpu")


def weights(net):
    return {k: v.clone() for k, v in net.state_dict().items()}


def same(a, b):
    return all(torch.equal(v, b[k]) for k, v in a.items())


def test_stages():
    """24 steps: 7 first, 7 again, 10 with labels."""
    seen = []
    fit(run(pretrain=0.6), watch=lambda _r, _b, terms: seen.append("+".join(terms["student"])))
    assert seen == ["restore"] * 7 + ["restore+keep"] * 7 + ["hard"] * 10
    without = []
    fit(run(rounds=0, pretrain=0.6), watch=lambda _r, _b, terms: without.append("+".join(terms["student"])))
    assert without == ["restore"] * 14 + ["hard"] * 10


def test_the_student_begins_once_more_and_the_first_one_teaches(double):
    r = run(rounds=2, pretrain=0.75)
    begun = weights(r["student"])
    fit(r, 5)
    learned = copy.deepcopy(r["student"].state_dict())
    assert not same(begun, learned) and same(weights(r["teacher"]), begun)
    fit(r, 6)
    assert same(weights(r["student"]), begun) and not same(weights(r["teacher"]), begun)
    assert not any(p in r.opts["student"].state for p in r["student"].parameters())
    first = weights(r["teacher"])
    fit(r, 12)
    assert same(weights(r["student"]), begun) and not same(weights(r["teacher"]), first)
    fit(r, 18)
    last = weights(r["student"])
    assert not same(last, begun) and not any(p.requires_grad for name in ("teacher", "initial") for p in r[name].parameters())
    kept = weights(r["teacher"])
    fit(r, 24)
    assert same(weights(r["teacher"]), kept) and same(weights(r["initial"]), begun) and not same(weights(r["student"]), last)


def test_the_distance_by_hand(double):
    r = run(weight=0.3)
    fit(r, 9)
    batch = r.method.source(r)
    apart = [(r["student"].encoder(x[None]).mean(1) - r["teacher"].encoder(x[None]).mean(1)).square().sum() for x in batch.x]
    assert r.method.loss(r, batch)["keep"].item() == pytest.approx(0.3 * torch.stack(apart).mean().item())
    r["student"].load_state_dict(r["teacher"].state_dict())
    assert r.method.loss(r, batch)["keep"].item() == pytest.approx(0, abs=1e-20)
