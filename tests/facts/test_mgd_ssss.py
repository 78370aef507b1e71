"""MGD: each of its three levels by hand, and what the two teachers say of a mix."""

import pytest
import torch

from facts.given import terms
from understudy.core.batch import Batch
from understudy.core.registry import get
from understudy.core.run import Run, start
from understudy.core.seeds import stream
from understudy.parts.divergence import nll
from understudy.worlds.touching import touching_teachers


def test_pixels_and_whole_pictures_by_hand(double, monkeypatch):
    s, d, f, g = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4), torch.randn(2, 5, 2, 2), torch.randn(2, 7, 2, 2)
    answers = {"student": (s, f), "teacher": (None, (d, None, g))}
    monkeypatch.setattr(Run, "tap", lambda self, name, at, x: answers[name])
    deep, broad = torch.randint(0, 3, (2, 2, 4, 4))
    batch = Batch(x=s, y=torch.full((2, 4, 4), -1), deep=deep, wide=broad)
    got = terms(get("mgd-ssss")(pixel=2.0, image=3.0, region=5.0), touching_teachers(0, small=True), batch)
    flat = s.movedim(1, -1)
    assert got["pixel"].item() == pytest.approx(2 * (nll(flat, deep) + nll(flat, broad)).item())
    away = sum(abs((s[i, c].sum() - d[i, c].sum()).item()) / 16 for i in range(2) for c in range(3)) / 6
    assert got["image"].item() == pytest.approx(3 * away)
    cosine = lambda f, i, j: torch.cosine_similarity(f.flatten(2)[:, :, i], f.flatten(2)[:, :, j], 1)
    off = sum((cosine(f, i, j) - cosine(g, i, j)).square().sum().item() for i in range(4) for j in range(4)) / 32
    assert got["region"].item() == pytest.approx(5 * off) and got["hard"].item() == 0


def test_labels_of_a_mix_are_those_of_its_pictures(double):
    """A pixel of a mix has the label that a teacher gave the picture it is from."""
    world = touching_teachers(0, small=True)
    run = start(get("mgd-ssss")(), world, 1, device="cpu")
    rows = run.rows()
    with stream(1, 0), torch.no_grad():
        batch = run.method.source(run)
        u = rows.x[(rows.y < 0).flatten(1).all(1)]
        own = {name: getattr(world.given_teacher, name)(u).argmax(1) for name in ("deep", "wide")}
    mixed, n = batch.x[-len(u) :], len(batch.x) - len(u)
    from_own, from_other = ((mixed == v).all(1) for v in (u, u.roll(1, 0)))
    assert (from_own | from_other).all() and from_own.any() and from_other.any()
    assert 0.4 < from_own.double().mean() < 0.95, "a quarter to a half is pasted, as far as it lies within the picture"
    for name, said in own.items():
        got = batch[name][n:]
        assert torch.equal(got[from_own], said[from_own]) and torch.equal(got[from_other], said.roll(1, 0)[from_other])
    assert torch.equal(batch.x[:n], rows.x[(rows.y >= 0).flatten(1).any(1)])
