"""SALT: pixels first, then latents of a teacher that has stopped; with an average for a teacher it is V-JEPA."""

import pytest
import torch

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.worlds.footage import footage

METHOD = get("salt-jepa")


def run(**settings):
    return start(METHOD(**settings), footage(0, small=True), 1, device="cpu")


def weights(net):
    return {k: v.clone() for k, v in net.state_dict().items()}


def same(a, b):
    return all(torch.equal(v, b[k]) for k, v in a.items())


def test_the_teacher_learns_first_and_then_stands_still(double):
    r = run(teach=0.25)
    student, teacher = weights(r["student"]), weights(r["teacher"])
    fit(r, 6)
    assert same(student, weights(r["student"])) and not same(teacher, weights(r["teacher"]))
    teacher = weights(r["teacher"])
    fit(r, 24)
    assert same(teacher, weights(r["teacher"])) and not same(student, weights(r["student"]))


def test_latents_by_hand(double):
    """Absolute differences at hidden patches alone, from states of the whole clip that have mean 0 and deviation 1."""
    r = run(teach=0.25)
    fit(r, 7)
    batch = r.method.source(r)
    u = r["teacher"].encoder(batch.x)
    means = []
    for m in batch.hidden:
        p = r["predictor"](r["student"](batch.x, m), m)
        far = []
        for i, k in m.nonzero().tolist():
            target = (u[i, k] - u[i, k].mean()) / (u[i, k].var(correction=0) + 1e-5).sqrt()
            far.append((p[i, k] - target).abs().mean())
        means.append(torch.stack(far).mean())
    assert r.method.loss(r, batch)["student"]["foretell"].item() == pytest.approx((sum(means) / 2).item())


def test_the_student_never_sees_what_it_foretells(double):
    r = run(teach=0.25)
    fit(r, 7)
    batch = r.method.source(r)
    before = r.method.loss(r, batch)["student"]["foretell"].item()
    m = batch.hidden[0]
    batch["hidden"] = [m, m]
    alone = r.method.loss(r, batch)["student"]["foretell"].item()
    frame = m.view(8, *r["student"].grid)[:, 0].repeat_interleave(4, 1).repeat_interleave(4, 2)
    batch["x"] = torch.where(frame[:, None, None], torch.randn_like(batch.x), batch.x)
    assert r.method.loss(r, batch)["student"]["foretell"].item() == pytest.approx(alone) and before != alone


def test_an_average_instead(double):
    r = run(teacher="average", decay=0.8)
    kept = weights(r["teacher"])
    for step in range(3):
        fit(r, step + 1)
        tau = 1 - 0.2 * (torch.tensor(torch.pi * step / r.world.steps).cos().item() + 1) / 2
        for k, v in r["student"].state_dict().items():
            kept[k].lerp_(v, 1 - tau)
            torch.testing.assert_close(r["teacher"].state_dict()[k], kept[k], rtol=1e-12, atol=1e-12)
    assert not any(p.requires_grad for p in r["teacher"].parameters()) and set(r.opts) == {"student"}
