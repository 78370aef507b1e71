"""BYOL: nothing to predict where all are one; the target is an average, which no gradient reaches."""

import copy

import pytest
import torch

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.methods.selfsup import byol as its
from understudy.worlds.gallery import gallery

METHOD = get("byol")


def run(**settings):
    return start(METHOD(**settings), gallery(0, small=True), 1, device="cpu")


def test_by_hand(double):
    """Squared distance of unit vectors, view for view crossed over."""
    r = run()
    batch = r.method.source(r)
    q = [r["predictor"](r["projector"](r["student"](v))) for v in batch.views]
    z = [r["target"](r["teacher"](v)) for v in batch.views]
    apart = lambda a, b: (a / a.norm(dim=1, keepdim=True) - b / b.norm(dim=1, keepdim=True)).square().sum(1).mean()
    assert r.method.loss(r, batch)["predict"].item() == pytest.approx((apart(q[0], z[1]) + apart(q[1], z[0])).item())


def test_nothing_to_predict_where_views_and_weights_agree(monkeypatch, double):
    monkeypatch.setattr(its, "glimpse", lambda x, *_: x)
    r = run()
    r.nets["predictor"] = torch.nn.Identity()
    assert r.method.loss(r, r.method.source(r))["predict"].item() == pytest.approx(0, abs=1e-12)


def test_the_target_is_the_average_it_says_it_is(double):
    r = run(decay=0.8)
    kept = {k: copy.deepcopy(r[k].state_dict()) for k in ("teacher", "target")}
    for step in range(3):
        fit(r, step + 1)
        tau = 1 - 0.2 * (torch.tensor(torch.pi * step / r.world.steps).cos().item() + 1) / 2
        for mine, its_own in (("teacher", "student"), ("target", "projector")):
            for k, v in r[its_own].state_dict().items():
                kept[mine][k].lerp_(v, 1 - tau)
                torch.testing.assert_close(r[mine].state_dict()[k], kept[mine][k], rtol=1e-12, atol=1e-12)
    assert not any(p.requires_grad for k in ("teacher", "target") for p in r[k].parameters())
    assert not any(z.requires_grad for z in r.method.source(r)["z"])
