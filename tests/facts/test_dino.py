"""DINO: the loss by a loop; the average and the centre are what they say; no gradient reaches either."""

import copy

import pytest
import torch

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.worlds.gallery import gallery


def run(**settings):
    return start(get("dino")(**settings), gallery(0, small=True), 1, device="cpu")


def test_by_a_loop(double):
    r = run(small=2, t=0.2, sharp=0.1)
    r["centre"].c.copy_(torch.randn(128))
    batch, n = r.method.source(r), 8
    s = [r["head"](r["student"](v)) for v in (batch.large, batch.small)]
    s = [v.log_softmax(1) for v in (torch.cat(s) / 0.2).split(n)]
    z = r["target"](r["teacher"](batch.large))
    p = [v.softmax(1) for v in ((z - r["centre"].c) / 0.1).split(n)]
    found = [-(p[i] * s[j]).sum(1).mean().item() for i in range(2) for j in range(4) if i != j]
    assert r.method.loss(r, batch)["distil"].item() == pytest.approx(sum(found) / len(found)) and len(found) == 6


def test_average_and_centre(double):
    r = run(decay=0.8, m=0.7)
    kept, c, seen = copy.deepcopy(r["target"].state_dict()), torch.zeros(128), []
    for step in range(3):
        fit(r, step + 1, watch=lambda _r, batch, _t: seen.append(batch.z))
        tau = 1 - 0.2 * (torch.tensor(torch.pi * step / r.world.steps).cos().item() + 1) / 2
        c = 0.7 * c + 0.3 * seen[-1].mean(0)
        for k, v in r["head"].state_dict().items():
            kept[k].lerp_(v, 1 - tau)
            torch.testing.assert_close(r["target"].state_dict()[k], kept[k], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(r["centre"].c, c)
    assert not any(z.requires_grad for z in seen) and not any(p.requires_grad for p in r["target"].parameters())
