"""DCGLR: both terms by a loop; without the contrast it is DINO on points; the average is what it says it is."""

import copy

import pytest
import torch

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.worlds.clouds import clouds


def run(**settings):
    return start(get("dcglr")(**settings), clouds(0, small=True), 1, device="cpu")


def test_by_a_loop(double):
    r = run(small=1, t=0.2, sharp=0.1, tau=0.3, distil=2.0, contrast=3.0)
    batch, n = r.method.source(r), 8
    got = r.method.loss(r, batch)
    f = [r["student"](v) for v in (batch.large, batch.small)]
    s = [(v / 0.2).log_softmax(1) for v in torch.cat([r["head"](v) for v in f]).split(n)]
    teacher = r["teacher"](batch.large)
    p = [(v / 0.1).softmax(1) for v in r["target"](teacher).split(n)]
    found = [-(p[i] * s[j]).sum(1).mean().item() for i in range(2) for j in range(3) if i != j]
    assert got["distil"].item() == pytest.approx(2 * sum(found) / 4)
    z, other = (torch.nn.functional.normalize(v, dim=1).split(n) for v in (r["project"](f[0]), r["target_project"](teacher)))
    told = [-(z[g][i] @ other[1 - g].T / 0.3).log_softmax(0)[i].item() for g in range(2) for i in range(n)]
    assert got["contrast"].item() == pytest.approx(3 * sum(told) / len(told))


def test_the_average(double):
    r = run(decay=0.8)
    pairs = (("teacher", "student"), ("target", "head"), ("target_project", "project"))
    kept = {mine: copy.deepcopy(r[mine].state_dict()) for mine, _ in pairs}
    fit(r, 1)
    for mine, its_own in pairs:
        assert not any(p.requires_grad for p in r[mine].parameters())
        for k, v in r[its_own].state_dict().items():
            torch.testing.assert_close(r[mine].state_dict()[k], kept[mine][k].lerp(v, 0.2), rtol=1e-12, atol=1e-12)
