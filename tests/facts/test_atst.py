"""ATST: what is foretold by a loop; only hidden frames are asked for; the average is what it says it is."""

import copy

import pytest
import torch

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.worlds.hearing import hearing


def run(**settings):
    return start(get("atst")(**settings), hearing(0, small=True), 1, device="cpu")


def foretold(r, f, z):
    q, h = r["predictor"](r["projector"](f)), r["target"](z)
    return sum(2 - 2 * torch.cosine_similarity(a, b, 0).item() for a, b in zip(q, h, strict=True)) / len(q)


def test_hidden_frames_by_a_loop(double):
    r = run(hide=0.4, run=2)
    batch = r.method.source(r)
    found = []
    for i in range(2):
        x, hidden = batch.views[i].clone(), batch.hidden[i]
        for n, k in hidden.nonzero().tolist():
            x[n, 0, :, k] = r["blank"].frame[:, 0]
        f, z = r["student"](x), r["teacher"](batch.views[1 - i])
        places = hidden.nonzero().tolist()
        found.append(foretold(r, torch.stack([f[n, 1 + k] for n, k in places]), torch.stack([z[n, 1 + k] for n, k in places])))
    assert r.method.loss(r, batch)["foretell"].item() == pytest.approx(sum(found) / 2)
    assert all(batch.hidden[i].any(1).all() and not batch.hidden[i].all() for i in range(2))


def test_class_tokens_of_a_clip_by_a_loop(double):
    r = run(level="clip")
    batch = r.method.source(r)
    found = [foretold(r, r["student"](batch.views[i])[:, 0], r["teacher"](batch.views[1 - i])[:, 0]) for i in range(2)]
    assert r.method.loss(r, batch)["foretell"].item() == pytest.approx(sum(found) / 2)
    assert batch.views[0].shape[-1] == 9 < batch.x.shape[-1] == 15


def test_the_average(double):
    r = run(decay=0.8)
    kept = {k: copy.deepcopy(r[k].state_dict()) for k in ("teacher", "target")}
    fit(r, 1)
    for mine, its_own in (("teacher", "student"), ("target", "projector")):
        assert not any(p.requires_grad for p in r[mine].parameters())
        for k, v in r[its_own].state_dict().items():
            torch.testing.assert_close(r[mine].state_dict()[k], kept[mine][k].lerp(v, 0.2), rtol=1e-12, atol=1e-12)
